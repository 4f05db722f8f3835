// imgtool create FILE SIZE
#include <algorithm>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "imgtool/command.hpp"
#include "imgtool/jobs/backing_file.hpp"
#include "imgtool/jobs/image_output.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/devices/system_roots.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"

namespace imgtool {
namespace {

struct CreateCommandOptions {
  std::string path;
  std::optional<std::string> size_word;
  OutputOptions target;
  bool follow_references = false;
  bool only_name = false;  // of the backing file, which is not opened
  JobOptions job;
};

void describe(CommandLine& line, CreateCommandOptions& o) {
  line.argument("FILE", o.path, "image to make");
  line.argument("SIZE", o.size_word, "of its disk (default: that of the backing file)");
  line.option("format,f", created_format_into(o.target.format),
              "format of the image (default: by its suffix, else raw)");
  o.target.takes_backing = true;
  o.target.takes_size = true;
  creation_option(line, o.target);
  line.option("backing,b", text_into(o.target.backing, "BASE"),
              "qcow2: the image whose content it starts with");
  line.option("backing-format,F", output_format_into(o.target.backing_format),
              "format of BASE (default: its content decides)");
  line.option("follow-references", flag_into(o.follow_references),
              "open the files that BASE names");
  line.option("unsafe,u", flag_into(o.only_name),
              "name BASE without opening it: it need not be there yet; needs SIZE and -F");
  line.force_option(o.target.force);
  line.job_options(o.job);
  line.exit_code(exit_code::refused, "FILE exists, or BASE needs --follow-references");
  line.example("imgtool create disk.qcow2 20G", "an empty disk");
  line.example("imgtool create -b base.qcow2 vm.qcow2", "one that starts as base.qcow2");
}

// What preallocation sets aside is written in pieces: it can be stopped between two of them.
void write_zeros(io::Ring& ring, ImageOutput& output, std::uint64_t size, Progress& progress) {
  constexpr std::uint64_t piece = 16 * io::MiB;  // whole clusters of any size
  const bool preallocates = output.plan().preallocation != formats::qcow2::Preallocation::off;
  const std::uint64_t step = preallocates ? piece : std::max<std::uint64_t>(size, 1);
  progress.begin(io::Phase::write, 0, size);
  for (std::uint64_t at = 0; at < size; at += step) {
    io::throw_if_stopped(stop_flag(), output.plan().path);
    const io::ByteRange range{at, std::min(step, size - at)};
    io::run_task(ring, output.target().zero(range), [&] { progress.tick(); });
    progress.completed(io::Phase::write, 0, range.length);
    progress.tick();
  }
  progress.end(io::Phase::write, 0);
}

BackingReference reference_by_name(const std::optional<BackingChoice>& choice, bool size_is_known) {
  if (!choice) throw UsageError("create: -u needs -b");
  if (!choice->format) {
    throw UsageError("create: -u does not look at BASE, so it needs its format: -F raw or qcow2");
  }
  if (!size_is_known) throw UsageError("create: -u does not look at BASE, so it needs SIZE");
  return {choice->name, *choice->format};
}

std::uint64_t create(CreateCommandOptions& o) {
  const auto ring = make_ring(o.job, 16);
  io::WorkerPool workers(1);
  std::optional<std::uint64_t> size;
  if (o.size_word) size = parse_size(*o.size_word);
  const auto stated = stated_size(o.target, o.path);
  if (size && stated && size != stated) throw UsageError("create: -o size says other than SIZE");
  if (stated) size = stated;
  std::optional<BackingFile> backing;
  std::optional<BackingReference> reference;
  std::vector<std::string> sources;
  const auto choice = backing_choice(o.target, o.path);
  if (o.only_name) {
    reference = reference_by_name(choice, size.has_value());
  } else if (choice) {
    formats::OpenOptions open;
    open.follow_references = o.follow_references;
    open.workers = &workers;
    backing.emplace(*ring, *choice, o.path, open);
    reference = backing->reference();
    sources = backing->paths();
    if (!size) size = backing->image().size();
  }
  if (!size) throw UsageError("create: SIZE is missing");
  const OutputPlan plan = plan_output(o.target, o.path, size, reference);
  size = plan.disk_size(*size);
  if (is_always_compressed(plan.format) || plan.format == formats::Format::simg) {
    throw UsageError(
        fmt::format("create: nothing can be written into a {} file later; use raw or qcow2",
                    formats::name_of(plan.format)));
  }
  if (o.path == "-") throw UsageError("create: an image needs a file");
  if (io::exists(o.path) && io::status_of(o.path).kind != io::FileKind::regular) {
    throw io::Error(io::ErrorKind::refused, o.path, "is not a regular file");
  }
  ImageOutput output(*ring, plan, size, sources, workers, nullptr, stop_flag());
  output.start();
  Progress progress({o.path}, o.job);
  write_zeros(*ring, output, *size, progress);
  output.finish(*size);
  progress.finish();
  return *size;
}

}  // namespace

int run_create(const Arguments& arguments) {
  CreateCommandOptions o;
  CommandLine line("create", "Makes an empty image, or one that starts as another one.");
  describe(line, o);
  if (const auto exit = line.parse(arguments)) return *exit;
  const std::uint64_t size = create(o);
  if (line.common().json) {
    print_json({{"image", o.path}, {"size", size}});
  } else {
    print(terminal_text(fmt::format("{}: made, {}", o.path, human_size(size))) + "\n");
  }
  return exit_code::done;
}

}  // namespace imgtool
