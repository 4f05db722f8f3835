// imgtool cat IMAGE PATH...
#include <unistd.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/extraction.hpp"
#include "imgtool/jobs/opened_disk.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {

int run_cat(const Arguments& arguments) {
  std::string image;
  std::vector<std::string> paths;
  formats::OpenOptions open;
  JobOptions job;
  CommandLine line("cat",
                   "Prints files of IMAGE to standard output, one behind the other, byte by byte. "
                   "Mounts nothing, and changes nothing.");
  line.argument("IMAGE", image, "image or disk to look into");
  line.arguments("PATH", paths, "/etc/fstab, or behind its part: 2:/etc/fstab");
  image_options(line, open);
  line.job_options(job);
  line.exit_code(exit_code::refused,
                 "IMAGE names another file (see --follow-references), or several file systems");
  line.example("imgtool cat golden.qcow2 2:/etc/os-release", "which system it is");
  line.example("imgtool cat root.img /var/log/syslog | tail", "the end of a log");
  if (const auto exit = line.parse(arguments)) return *exit;
  if (line.common().json) throw UsageError("cat prints files as they are: there is no --json");

  std::vector<InnerPath> wanted;
  wanted.reserve(paths.size());
  for (const std::string& path : paths) wanted.push_back(parse_inner_path(path));
  OpenedDisk disk(image, open, job);
  for (const InnerPath& where : wanted) {
    const auto files = disk.files().open(where.part);
    note_warning(*files);
    const auto id = files->find(where.path, InnerFileSystem::LastLink::followed);
    copy_to_stream(*files, id, STDOUT_FILENO, "standard output", stop_flag());
  }
  return exit_code::done;
}

}  // namespace imgtool
