// imgtool shrink SRC DST
#include <chrono>

#include <fmt/format.h>
#include <unistd.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/guest/shrink_job.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/progress.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/text_output.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

using guest::Plan;
using guest::ShrinkJob;
using guest::ShrinkOptions;
using guest::Steps;

struct ShrinkCommandOptions {
  ShrinkOptions shrink;
  std::optional<std::string> output;
  JobOptions job;
};

OptionValue partitions_into(std::vector<unsigned>& partitions) {
  return {.placeholder = "PART", .repeatable = true, .set = [&](const std::string& word) {
            partitions.push_back(static_cast<unsigned>(parse_count(word, 0, 1U << 20)));
          }};
}

OptionValue key_files_into(std::vector<guest::KeyFile>& keys) {
  return {.placeholder = "[PART:]FILE", .repeatable = true, .set = [&](const std::string& word) {
            keys.push_back(guest::parse_key_file(word));
          }};
}

void describe_common(CommandLine& line, ShrinkCommandOptions& o) {
  ShrinkOptions& shrink = o.shrink;
  line.argument("SRC", shrink.source, "raw or qcow2 image, or disk; never written to");
  line.argument("DST", o.output, "image to make; may be left out with --plan");
  line.option("format,f", format_into(shrink.open.format),
              "format of SRC (default: its content decides)");
  line.option("follow-references", flag_into(shrink.open.follow_references),
              "open the files that SRC names");
  container_options(line, shrink.open);
  new_image_options(line, shrink.target);
  line.option("plan", flag_into(shrink.plan_only), "tell what would be done, and do nothing");
  line.option("keep", partitions_into(shrink.keep),
              "leave this partition as it is, byte for byte, and with it the others that its file "
              "system or volume group lies on; it may be moved");
  line.option("key", key_files_into(shrink.keys),
              "a file with the passphrase of the LUKS in this partition, or in any; of several, "
              "each is tried");
  line.option("drop-swap-content", flag_into(shrink.drop_swap_content),
              "of a hibernated Linux: throw away what it had in memory, as a power failure would; "
              "its journals are replayed");
  trust_maps_option(line, shrink.trust_maps);
  line.option("strict", flag_into(shrink.strict),
              "refuse where a partition would have to be kept as it is");
  line.option("verify",
              choice_into(shrink.verify, {{"full", guest::VerifyChoice::full},
                                          {"quick", guest::VerifyChoice::quick}}),
              "full: checkers of file systems read the new image before it gets its name; quick: "
              "only tables and sizes are looked at");
  line.option("engine",
              choice_into(shrink.engine, {{"auto", guest::EngineChoice::automatic},
                                          {"direct", guest::EngineChoice::direct},
                                          {"appliance", guest::EngineChoice::appliance}}),
              "direct: the file systems' own programs, each locked up with what it works on; "
              "appliance: in a virtual machine, which all can be worked on in; auto (default): "
              "direct where ext and NTFS are all that has to be worked on");
  line.option("work-dir", text_into(shrink.work_folder, "DIR"),
              "where the overlay goes, which holds what is changed (default: beside DST)");
  line.option("fixed-appliance", text_into(shrink.fixed_appliance, "DIR"),
              "a ready-made appliance of libguestfs, for hosts that cannot build one");
  line.option("threads", threads_into(shrink.threads),
              "threads for compressing, and as many for decompressing");
  line.option("rate", size_into(shrink.rate), "at most so many bytes a second; 0 is no limit");
  line.force_option(shrink.target.force);
  line.job_options(o.job);
  line.exit_code(exit_code::refused,
                 "SRC is in use, damaged or hibernated, or has snapshots; or DST exists");
  line.exit_code(exit_code::differs, "what was written is not as it must be; DST was not made");
}

void understand(ShrinkCommandOptions& o) {
  ShrinkOptions& shrink = o.shrink;
  if (shrink.source == "-") throw UsageError("SRC: the appliance needs a file or disk with a name");
  if (!o.output && !shrink.plan_only) throw UsageError("argument DST is missing");
  if (o.output && o.output->empty()) throw UsageError("argument DST is empty");
  shrink.output = o.output.value_or("");
  if (shrink.minimal && shrink.slack) {
    throw UsageError("--minimal and --slack exclude each other");
  }
  for (guest::KeyFile& key : shrink.keys) {
    if (key.partition && shrink.keeps(*key.partition)) {
      throw UsageError(
          fmt::format("--keep {0} and --key {0}:{1} exclude each other", *key.partition, key.path));
    }
    guest::read_key(key);
  }
}

void print_plan(const Plan& plan, bool json) {
  if (json) {
    print_json(guest::to_json(plan));
    return;
  }
  const auto screen = FdOutput(STDOUT_FILENO).screen();
  print(guest::to_text(plan, screen ? std::optional<std::size_t>(screen->columns) : std::nullopt));
}

void report_result(const ShrinkJob& job, const ShrinkOptions& o, double seconds, bool json) {
  const guest::Written& written = job.written();
  if (json) {
    auto document = guest::to_json(job.plan());
    document["image"] = o.output;
    document["format"] = formats::name_of(written.format);
    document["data-bytes"] = written.data_bytes;
    if (written.file_bytes) document["file-bytes"] = *written.file_bytes;
    document["seconds"] = seconds;
    print_json(document);
    return;
  }
  print_plan(job.plan(), false);
  std::string text = fmt::format("{}: {}, {}", o.output, human_size(job.plan().new_size),
                                 formats::name_of(written.format));
  if (o.target.compress && written.file_bytes) {
    text += fmt::format(" of {}", human_size(*written.file_bytes));
  }
  text += fmt::format("; {} data, in {}", human_size(written.data_bytes), human_duration(seconds));
  print(terminal_text(text) + "\n");
}

int run_job(const CommandLine& line, ShrinkCommandOptions& o) {
  understand(o);
  o.shrink.open.page_cache = formats::PageCache::used_if_warm;
  const bool json = line.common().json;
  const auto begin = std::chrono::steady_clock::now();
  const auto ring = make_ring(o.job, 64);
  Steps steps(o.shrink.plan_only ? o.shrink.source : o.shrink.output, o.job);
  ShrinkJob job(*ring, o.shrink, steps);
  job.look();
  if (o.shrink.plan_only) {
    steps.finish();
    print_plan(job.plan(), json);
    return exit_code::done;
  }
  if (o.shrink.change_sizes && !job.saves_anything()) {
    steps.say("note: nothing can be made smaller, so the disk keeps its size");
  }
  job.work();
  {
    Progress progress({o.shrink.output}, o.job);
    job.write(progress);
    progress.finish();
  }
  job.verify();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  report_result(job, o.shrink, seconds.count(), json);
  return exit_code::done;
}

}  // namespace

int run_shrink(const Arguments& arguments) {
  ShrinkCommandOptions o;
  CommandLine line(
      "shrink",
      "Makes a smaller disk of SRC: file systems, partitions and the disk itself, in a new image. "
      "The file systems are worked on by their own tools, each locked up with what it works on, or "
      "in a small virtual machine (libguestfs), in an overlay; SRC is only read. Numbers, GUIDs, "
      "labels and boot code stay.");
  describe_common(line, o);
  line.option("slack", size_into(o.shrink.slack),
              "room to leave in each file system above its minimum (default: 5 %, at least 64M; "
              "NTFS: 10 %, at least 64M, 512M above 4G; btrfs: none)");
  line.option("minimal", flag_into(o.shrink.minimal), "leave none, and try for less");
  line.option("xfs",
              choice_into(o.shrink.xfs, {{"keep", guest::XfsChoice::keep},
                                         {"recreate", guest::XfsChoice::recreate}}),
              "XFS cannot be made smaller: keep it, or make it anew with the same UUID, label and "
              "features and copy the files");
  line.example("imgtool shrink --plan golden.img", "what would be done");
  line.example("imgtool shrink -c golden.img small.qcow2", "a smaller disk, compressed");
  if (const auto exit = line.parse(arguments)) return *exit;
  return run_job(line, o);
}

int run_sparsify(const Arguments& arguments) {
  ShrinkCommandOptions o;
  o.shrink.change_sizes = false;
  CommandLine line(
      "sparsify",
      "Makes an image of the same disk without the free space of its file systems, also where "
      "convert --drop-free cannot tell what is free: in LUKS with its key, in what snapshots of "
      "thin LVM share, in btrfs on several partitions. These are trimmed in a small virtual "
      "machine (libguestfs), in an overlay; SRC is only read.");
  describe_common(line, o);
  line.example("imgtool sparsify --plan golden.img", "what is in it");
  line.example("imgtool sparsify -c --key 3:passphrase golden.img thin.qcow2",
               "what is free inside LUKS, too");
  if (const auto exit = line.parse(arguments)) return *exit;
  return run_job(line, o);
}

}  // namespace imgtool
