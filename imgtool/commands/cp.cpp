// imgtool cp IMAGE PATH OUT
#include <fmt/format.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/extraction.hpp"
#include "imgtool/jobs/opened_disk.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"

namespace imgtool {
namespace {

struct CpOptions {
  std::string image;
  std::string path;
  std::string out;
  formats::OpenOptions open;
  bool force = false;
  JobOptions job;
};

Json document_of(const Extracted& done, const std::string& out) {
  return {{"output", out},         {"files", done.files},      {"folders", done.folders},
          {"links", done.links},   {"bytes", done.bytes},      {"left-out", done.special},
          {"failed", done.failed}, {"problems", done.problems}};
}

std::string extracted_in_words(const Extracted& done, const std::string& out) {
  std::string text = fmt::format("{}: {}, {}, {}, {}\n", terminal_text(out),
                                 number_of(done.files, "file"), number_of(done.folders, "folder"),
                                 number_of(done.links, "link"), human_size(done.bytes));
  if (done.special > 0) {
    text += fmt::format("left out: {} devices, pipes and sockets\n", done.special);
  }
  return text;
}

void tell_problems(const Extracted& done) {
  for (const std::string& problem : done.problems) complain(terminal_text(problem));
  if (done.failed > done.problems.size()) {
    complain(fmt::format("and {} more could not be copied", done.failed - done.problems.size()));
  }
}

}  // namespace

int run_cp(const Arguments& arguments) {
  CpOptions o;
  CommandLine line(
      "cp",
      "Copies a file, or a folder with all that is in it, out of IMAGE. Holes stay "
      "holes, links stay links and are not followed; modes (without set-user bits) and "
      "times are kept, owners are not. Nothing is written outside of OUT. Mounts "
      "nothing, and does not change IMAGE.");
  line.argument("IMAGE", o.image, "image or disk to look into");
  line.argument("PATH", o.path, "/etc/fstab, or behind its part: 2:/etc");
  line.argument("OUT", o.out, "what to make: a file, or a folder that is not there yet");
  image_options(line, o.open);
  line.force_option(o.force);
  line.job_options(o.job);
  line.exit_code(exit_code::refused,
                 "OUT exists, IMAGE names another file (see --follow-references), or several file "
                 "systems");
  line.exit_code(exit_code::partly, "some files could not be read, or have impossible names");
  line.example("imgtool cp golden.qcow2 2:/etc etc", "a folder with all that is in it");
  line.example("imgtool cp vm.img vg/root:/etc/fstab fstab", "a file of a logical volume");
  if (const auto exit = line.parse(arguments)) return *exit;

  const InnerPath where = parse_inner_path(o.path);
  OpenedDisk disk(o.image, o.open, o.job);
  std::vector<std::string> sources;
  for (const io::File* file : disk.image().files()) sources.push_back(file->path());
  const io::DeviceInventory inventory;
  check_output_path(o.out, sources, io::DeviceUsage(inventory));
  const auto files = disk.files().open(where.part);
  note_warning(*files);
  const auto id = files->find(where.path, InnerFileSystem::LastLink::kept);
  const Extracted done = extract(*files, id, o.out, o.force, stop_flag());
  tell_problems(done);
  if (line.common().json) {
    print_json(document_of(done, o.out));
  } else {
    print(extracted_in_words(done, o.out));
  }
  return done.failed > 0 ? exit_code::partly : exit_code::done;
}

}  // namespace imgtool
