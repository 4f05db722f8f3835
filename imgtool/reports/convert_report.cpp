#include "imgtool/reports/convert_report.hpp"

#include <fmt/format.h>

#include "imgtool/jobs/content_hash.hpp"
#include "imgtool/reports/range_report.hpp"
#include "imgtool/reports/unused_space_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"

namespace imgtool {
namespace {

std::string in_words(const ConvertJob& job, double seconds) {
  const ConvertOptions& options = job.options();
  const std::string name = options.output == "-" ? "standard output" : options.output;
  std::string text = fmt::format("{}: {} to {}, {}", options.source, human_size(job.size()), name,
                                 formats::name_of(job.output().plan().format));
  if (const auto bytes = job.output().file_bytes(); bytes && job.output().encodes()) {
    text += fmt::format(" of {}", human_size(*bytes));
  }
  text += fmt::format("; {} data, in {}", human_size(job.content_bytes()), human_duration(seconds));
  return terminal_text(text) + "\n";
}

Json describe(const ConvertJob& job, double seconds) {
  const ConvertOptions& options = job.options();
  Json document;
  document["source"] = options.source;
  document["image"] = options.output;
  document["format"] = formats::name_of(job.output().plan().format);
  document["size"] = job.size();
  document["data-bytes"] = job.content_bytes();
  document["cut-short"] = !job.cut_short().empty();
  if (const auto bytes = job.output().file_bytes()) document["file-bytes"] = *bytes;
  if (job.left_behind().bitmaps > 0) document["bitmaps-dropped"] = job.left_behind().bitmaps;
  if (job.left_behind().snapshots > 0) document["snapshots-dropped"] = job.left_behind().snapshots;
  if (options.bmap) document["bmap"] = *options.bmap;
  if (job.unused() != nullptr) {
    document["left-out"] = unused_space_document(*job.unused(), job.size());
  }
  if (options.salvage) document["unreadable"] = ranges_json(job.lost());
  document["seconds"] = seconds;
  if (options.digest) {
    document["algorithm"] = io::digest_name(*options.digest);
    document["digest"] = job.digest();
  }
  return document;
}

}  // namespace

int report_conversion(const ConvertJob& job, double seconds, bool json) {
  const int code = job.lost().empty() ? exit_code::done : exit_code::partly;
  if (!job.remark().empty()) complain(job.remark());
  if (json) {
    print_json(describe(job, seconds));
    return code;
  }
  const ConvertOptions& options = job.options();
  std::string text = in_words(job, seconds);
  if (job.unused() != nullptr) text += unused_space_in_words(*job.unused(), job.size());
  if (options.salvage) text += lost_in_words(job.lost(), "--json lists them");
  if (options.digest) text += digest_to_print(job.digest(), options.output);
  print_beside(options.output, text);
  return code;
}

}  // namespace imgtool
