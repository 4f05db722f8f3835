// imgtool commit IMAGE: what an overlay holds becomes its base's.
#include <fmt/format.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/commit_job.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"

namespace imgtool {
namespace {

void report(const CommitJob& job, bool json) {
  const CommitOptions& o = job.options();
  if (json) {
    print_json({{"image", o.path},
                {"base", job.base()},
                {"size-before", job.size_before()},
                {"size", job.size()},
                {"data-bytes", job.data_bytes()},
                {"zero-bytes", job.zero_bytes()},
                {"emptied", job.emptied()}});
    return;
  }
  std::string text =
      fmt::format("{}: {} data and {} zeros committed into {}", o.path,
                  human_size(job.data_bytes()), human_size(job.zero_bytes()), job.base());
  if (job.size() != job.size_before()) {
    text += fmt::format(", which has {} now, was {}", human_size(job.size()),
                        human_size(job.size_before()));
  }
  text += job.emptied() ? "; emptied" : "; keeps what it has";
  print(terminal_text(text) + "\n");
}

}  // namespace

int run_commit(const Arguments& arguments) {
  CommitOptions o;
  JobOptions job_options;
  CommandLine line("commit",
                   "Writes what an overlay holds into its backing file, raw or qcow2, then empties "
                   "the overlay. A base that is smaller grows. Killed at any moment, the overlay "
                   "shows what it showed, and the same command again completes it. Other images "
                   "that lie over the base are worth nothing afterwards.");
  line.argument("IMAGE", o.path, "the overlay, a qcow2 image");
  line.option("base,b", text_into(o.base, "BASE"),
              "commit down to this image of the chain, the ones between included; IMAGE is not "
              "emptied then (default: its own backing file)");
  line.option("keep,d", flag_into(o.keep), "do not empty IMAGE");
  line.option("follow-references", flag_into(o.follow_references),
              "open the files that the images name, and write to the base");
  target_cache_option(line);
  line.job_options(job_options);
  line.exit_code(exit_code::refused,
                 "an image is in use or damaged, or --follow-references is missing");
  line.example("imgtool commit --follow-references overlay.qcow2", "into its backing file");
  line.example("imgtool commit --follow-references -b base.qcow2 top.qcow2",
               "a chain of images into the lowest");
  if (const auto exit = line.parse(arguments)) return *exit;
  const auto ring = make_ring(job_options, 16);
  CommitJob job(*ring, o, stop_flag());
  Progress progress({job.base()}, job_options);
  job.run(progress);
  progress.finish();
  report(job, line.common().json);
  return exit_code::done;
}

}  // namespace imgtool
