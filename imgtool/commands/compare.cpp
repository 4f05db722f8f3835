// imgtool compare: whether two images hold the same content, with qemu-img's exit codes.
#include <algorithm>

#include <fmt/format.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/comparer.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

// qemu-img's.
constexpr int same_code = 0;
constexpr int differ_code = 1;
constexpr int open_error_code = 2;
constexpr int refused_code = 3;
constexpr int read_error_code = 4;

struct CompareArguments {
  std::string path_a;
  std::string path_b;
  formats::OpenOptions image_a;
  formats::OpenOptions image_b;
  bool strict = false;
  std::uint64_t limit = 1'000'000;
  JobOptions job;
};

struct Answer {
  // Unknown for a stream that was not read to its end.
  std::optional<std::uint64_t> size_a;
  std::optional<std::uint64_t> size_b;
  bool sizes_matter = false;
  io::Comparison comparison;

  [[nodiscard]] bool same() const {
    return comparison.differences.empty() && !(sizes_matter && size_a != size_b);
  }
};

Answer compare(const CompareArguments& arguments, int& error_code) {
  const auto ring = make_ring(arguments.job, 64);
  ImageSource a(*ring, arguments.path_a, arguments.image_a, stop_flag());
  ImageSource b(*ring, arguments.path_b, arguments.image_b, stop_flag());
  error_code = read_error_code;

  Answer answer{a.source().size(), b.source().size(), arguments.strict, {}};
  const bool both_known = answer.size_a && answer.size_b;
  if (arguments.strict && both_known && answer.size_a != answer.size_b) return answer;
  io::CompareOptions options;
  options.most_differences = arguments.limit;
  options.chunk_size = std::max({options.chunk_size, a.cluster_size(), b.cluster_size()});
  Progress progress({arguments.path_a}, arguments.job);
  io::Comparer comparer(*ring, a.source(), b.source(), options, progress, stop_flag());
  answer.comparison = comparer.run();
  answer.size_a = a.source().size();
  answer.size_b = b.source().size();
  progress.finish();
  a.check_unchanged();
  b.check_unchanged();
  auto& found = answer.comparison.differences;
  if (found.size() > arguments.limit) {
    found.resize(arguments.limit);
    answer.comparison.complete = false;
  }
  return answer;
}

// As text: a document in memory would take 200 bytes and more for each difference.
void print_as_json(const Answer& answer) {
  const auto size = [](const std::optional<std::uint64_t>& bytes) {
    return bytes ? fmt::to_string(*bytes) : "null";
  };
  print_json_text(fmt::format(
      "{{\n    \"identical\": {},\n    \"size-a\": {},\n    \"size-b\": {},"
      "\n    \"complete\": {},\n    \"differences\": [",
      answer.same(), size(answer.size_a), size(answer.size_b), answer.comparison.complete));
  std::string_view before = "\n";
  for (const io::ByteRange range : answer.comparison.differences) {
    print_json_text(fmt::format("{}        {{ \"start\": {}, \"length\": {} }}", before,
                                range.offset, range.length));
    before = ",\n";
  }
  print_json_text(answer.comparison.differences.empty() ? "]\n}\n" : "\n    ]\n}\n");
}

// What qemu-img says: the first difference alone.
void print_as_qemu(const Answer& answer) {
  if (answer.same()) {
    print("Images are identical.\n");
  } else if (answer.comparison.differences.empty()) {
    print("Strict mode: Image size mismatch!\n");
  } else {
    print(fmt::format("Content mismatch at offset {}!\n",
                      answer.comparison.differences.front().offset));
  }
}

void print_as_text(const Answer& answer) {
  if (answer.size_a && answer.size_b && answer.size_a != answer.size_b) {
    print(fmt::format("The sizes differ: {} and {} bytes.\n", *answer.size_a, *answer.size_b));
  }
  const auto& found = answer.comparison.differences;
  for (const io::ByteRange range : found) {
    print(fmt::format("differ: {} bytes at offset {}\n", range.length, range.offset));
  }
  if (!answer.comparison.complete) {
    print(fmt::format("There may be more; --limit ended the search after {}.\n", found.size()));
  }
  if (answer.same()) print("The images are identical.\n");
}

void print_answer(const Answer& answer, AnswerFormat format) {
  switch (format) {
    case AnswerFormat::human:
      return print_as_text(answer);
    case AnswerFormat::json:
      return print_as_json(answer);
    case AnswerFormat::qemu:
      return print_as_qemu(answer);
  }
}

}  // namespace

int run_compare(const Arguments& arguments) {
  CompareArguments wanted;
  bool follow_references = false;
  CommandLine line("compare",
                   "Compares the content of two images of any format, and lists where they "
                   "differ. Differences less than 512 bytes apart are one. Where one image ends "
                   "before the other it counts as zeros, unless --strict is given.");
  line.argument("A", wanted.path_a, "image");
  line.argument("B", wanted.path_b, "image");
  line.option("format,f", format_into(wanted.image_a.format), "format of A");
  line.option("format-b,F", unlisted_format_into(wanted.image_b.format), "format of B, as for A");
  line.option("snapshot,l", text_into(wanted.image_a.snapshot, "SNAPSHOT"),
              "the internal snapshot of A with this id or name");
  line.option("follow-references", flag_into(follow_references),
              "open the files that the images name");
  line.option("member", text_into(wanted.image_a.member, "NAME"),
              "the image of this name in A, an archive that holds several");
  line.option("member-b", text_into(wanted.image_b.member, "NAME"), "the same of B");
  spool_option(line, wanted.image_a.spool);
  bool force_share = false;
  force_share_option(line, force_share);
  line.option("strict,s", flag_into(wanted.strict), "images of different sizes differ");
  line.option("limit", count_into(wanted.limit, 1), "stop after so many differences");
  AnswerFormat output = AnswerFormat::human;
  answer_format_option(line, output);
  source_cache_option(line);
  line.job_options(wanted.job);
  line.exit_code(same_code, "same content");
  line.exit_code(differ_code, "different content");
  line.exit_code(open_error_code, "an image cannot be opened, or wrong usage");
  line.exit_code(refused_code,
                 "an image needs --follow-references, or another program writes to it");
  line.exit_code(read_error_code, "an image cannot be read, or the answer not be written");
  line.example("imgtool compare golden.qcow2 golden.img", "after a conversion");
  line.example("imgtool compare --follow-references overlay.qcow2 base.qcow2",
               "what an overlay changed");
  if (const auto exit = line.parse(arguments)) return *exit;
  wanted.image_b.spool = wanted.image_a.spool;
  wanted.image_a.follow_references = wanted.image_b.follow_references = follow_references;
  wanted.image_a.force_share = wanted.image_b.force_share = force_share;
  wanted.image_a.way_past_lock = wanted.image_b.way_past_lock = way_past_lock;
  wanted.image_a.page_cache = wanted.image_b.page_cache = formats::PageCache::used_if_warm;

  if (line.common().json) output = AnswerFormat::json;
  int error_code = open_error_code;
  try {
    const Answer answer = compare(wanted, error_code);
    print_answer(answer, output);
    flush_output();
    return answer.same() ? same_code : differ_code;
  } catch (const UsageError&) {
    throw;
  } catch (const std::exception& exception) {
    const auto* error = dynamic_cast<const io::Error*>(&exception);
    if (error != nullptr && error->kind() == io::ErrorKind::cancelled) throw;
    Failure failure = describe_failure(std::current_exception(), 0);
    const bool refused = error != nullptr && error->kind() == io::ErrorKind::refused;
    failure.exit_code = refused ? refused_code : error_code;  // never differ_code
    return report_failure(failure, output == AnswerFormat::json);
  }
}

}  // namespace imgtool
