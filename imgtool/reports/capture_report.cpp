#include "imgtool/reports/capture_report.hpp"

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

std::string in_words(const CaptureJob& job, const CaptureOptions& options, double seconds,
                     const std::vector<io::ByteRange>& lost) {
  std::string text = terminal_text(fmt::format(
      "{}: {} captured to {} in {}; {} data, {}", options.device, human_size(job.size()),
      options.output == "-" ? "standard output" : options.output, human_duration(seconds),
      human_size(job.data_bytes()),
      options.target.resume ? "the rest zeros or there already" : "the rest zeros"));
  if (options.to_last_partition) {
    text += fmt::format("; the {} behind the last partition left out{}", human_size(job.left_out()),
                        job.table_changed() ? ", with a GPT that ends there" : "");
  }
  text += '\n';
  if (job.written_meanwhile()) {
    text += fmt::format(
        "warning: {} was written to while it was read: the image may have old and "
        "new content side by side\n",
        options.device);
  }
  if (job.unused() != nullptr) text += unused_space_in_words(*job.unused(), job.size());
  return text + lost_in_words(lost, "--json and the mapfile list them");
}

Json describe(const CaptureJob& job, const CaptureOptions& options, double seconds,
              const std::vector<io::ByteRange>& lost) {
  Json document;
  document["device"] = options.device;
  document["image"] = options.output;
  document["size"] = job.size();
  document["data-bytes"] = job.data_bytes();
  document["cut-short"] = !job.cut_short().empty();
  document["in-use"] = job.in_use();
  document["written-meanwhile"] = job.written_meanwhile();
  if (options.to_last_partition) {
    document["left-out-bytes"] = job.left_out();
    document["table-changed"] = job.table_changed();
  }
  if (job.unused() != nullptr) {
    document["left-out"] = unused_space_document(*job.unused(), job.size());
  }
  document["seconds"] = seconds;
  if (options.digest) {
    document["algorithm"] = io::digest_name(*options.digest);
    document["digest"] = job.digest();
  }
  document["unreadable"] = ranges_json(lost);
  return document;
}

}  // namespace

int report_capture(const CaptureJob& job, const CaptureOptions& options, double seconds,
                   bool json) {
  const auto lost = job.unreadable();
  if (json) {
    print_json(describe(job, options, seconds, lost));
  } else {
    std::string text = in_words(job, options, seconds, lost);
    if (options.digest) text += digest_to_print(job.digest(), options.output);
    print_beside(options.output, text);
  }
  return lost.empty() ? exit_code::done : exit_code::partly;
}

}  // namespace imgtool
