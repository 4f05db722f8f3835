// imgtool rebase IMAGE -b BASE: the same disk over another backing file.
#include <fmt/format.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/output_options.hpp"
#include "imgtool/jobs/rebase_job.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

void report(const RebaseJob& job, bool json) {
  const RebaseOptions& o = job.options();
  const bool stands_alone = o.base.empty();
  if (json) {
    print_json({{"image", o.path},
                {"backing-file", stands_alone ? Json() : Json(o.base)},
                {"backing-format", stands_alone ? Json() : Json(job.base_format())},
                {"only-name", o.only_name},
                {"data-bytes", job.data_bytes()},
                {"zero-bytes", job.zero_bytes()}});
    return;
  }
  std::string text = fmt::format(
      "{}: {}", o.path, stands_alone ? "has no backing file now" : "lies over " + o.base + " now");
  if (!o.only_name) {
    text += fmt::format("; {} data and {} zeros copied into it", human_size(job.data_bytes()),
                        human_size(job.zero_bytes()));
  }
  print(terminal_text(text) + "\n");
}

}  // namespace

int run_rebase(const Arguments& arguments) {
  RebaseOptions o;
  std::optional<std::string> base;
  JobOptions job_options;
  CommandLine line("rebase",
                   "Puts a qcow2 image over another backing file, and shows the same disk as "
                   "before: what the two have different is copied into the image. Killed at any "
                   "moment, the image lies over the old one or the new one, and is whole.");
  line.argument("IMAGE", o.path, "qcow2 image");
  line.option(
      "backing,b", text_into(base, "BASE"),
      "the new backing file, as the image is to name it: relative to the image, or \"\" for "
      "none, so that the image holds all of its disk itself");
  line.option("backing-format,F", output_format_into(o.base_format),
              "format of BASE (default: its content decides)");
  line.option(
      "unsafe,u", flag_into(o.only_name),
      "change the name alone, and read nothing: for a backing file that was moved, or whose "
      "content is known to be the same; with a BASE it needs -F");
  line.option("follow-references", flag_into(o.follow_references),
              "open the files that the images name");
  target_cache_option(line);
  source_cache_option(line);
  line.job_options(job_options);
  line.exit_code(exit_code::refused,
                 "an image is in use or damaged, or --follow-references is missing");
  line.example("imgtool rebase --follow-references -b new-base.qcow2 vm.qcow2",
               "the same disk over another base");
  line.example("imgtool rebase --follow-references -b \"\" vm.qcow2", "an image of its own");
  line.example("imgtool rebase -u -F qcow2 -b ../bases/base.qcow2 vm.qcow2",
               "the base was moved there");
  if (const auto exit = line.parse(arguments)) return *exit;
  if (!base) throw UsageError("rebase: -b is missing; -b \"\" means no backing file");
  o.base = *base;
  if (o.only_name && !o.base.empty() && !o.base_format) {
    throw UsageError(
        "rebase: -u does not look at BASE, so it needs its format: -F raw or -F qcow2");
  }
  const auto ring = make_ring(job_options, 16);
  RebaseJob job(*ring, o, stop_flag());
  Progress progress({o.path}, job_options);
  job.run(progress);
  progress.finish();
  report(job, line.common().json);
  return exit_code::done;
}

}  // namespace imgtool
