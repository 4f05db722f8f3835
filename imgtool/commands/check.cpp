// imgtool check: whether an image is consistent, with qemu-img's JSON keys and exit codes.
#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/block_formats.hpp"
#include "formats/images/probe.hpp"
#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/free_clusters.hpp"
#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/repair.hpp"
#include "formats/images/qcow2/snapshot_repair.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace imgtool {
namespace {

using formats::qcow2::CheckResult;
using formats::qcow2::ProblemSink;
using formats::qcow2::RepairScope;

// qemu-img's.
constexpr int clean_code = 0;
constexpr int failed_code = 1;
constexpr int corrupt_code = 2;
constexpr int leaks_code = 3;
constexpr int unsupported_code = 63;

int code_of(const CheckResult& result) {
  if (result.errors != 0) return failed_code;
  if (result.corruptions != 0) return corrupt_code;
  return result.leaks != 0 ? leaks_code : clean_code;
}

struct Outcome {
  formats::Format format = formats::Format::qcow2;
  CheckResult result;              // after the repair
  std::uint64_t leaked_bytes = 0;  // of other formats
  std::uint64_t corruptions_fixed = 0;
  std::uint64_t leaks_fixed = 0;
};

enum class Repair : std::uint8_t { none, leaks, all };

void print_as_json(const std::string& path, const Outcome& outcome) {
  const CheckResult& result = outcome.result;
  Json json;
  const auto put = [&json](const char* key, std::uint64_t value) {
    if (value != 0) json[key] = value;
  };
  put("image-end-offset", result.image_end);
  put("total-clusters", result.total_clusters);
  json["check-errors"] = result.errors;
  put("corruptions", result.corruptions);
  put("leaks", result.leaks);
  put("leaked-bytes", outcome.leaked_bytes);
  put("corruptions-fixed", outcome.corruptions_fixed);
  put("leaks-fixed", outcome.leaks_fixed);
  put("allocated-clusters", result.allocated_clusters);
  put("fragmented-clusters", result.fragmented_clusters);
  put("compressed-clusters", result.compressed_clusters);
  json["filename"] = path;
  json["format"] = formats::name_of(outcome.format);
  print_json(json);
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "0.00";
  return fmt::format("{:.2f}", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string share(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return {};
  return fmt::format(" ({} %)", percent(part, whole));
}

void print_blocks(const Outcome& outcome) {
  const CheckResult& result = outcome.result;
  if (result.clean()) {
    print("No errors were found on the image.\n");
  } else {
    print(fmt::format("{} corruptions, {} leaked blocks ({} bytes).\n", result.corruptions,
                      result.leaks, outcome.leaked_bytes));
  }
  print(fmt::format("Of {} blocks {}{} are allocated", result.total_clusters,
                    result.allocated_clusters,
                    share(result.allocated_clusters, result.total_clusters)));
  if (result.compressed_clusters > 0) {
    print(fmt::format("; of these {} are compressed", result.compressed_clusters));
  }
  print(fmt::format(".\nThe image ends at offset {}.\n", result.image_end));
}

// What scripts look for in qemu-img's answer.
void print_as_qemu(const Outcome& outcome) {
  const CheckResult& result = outcome.result;
  if (outcome.corruptions_fixed + outcome.leaks_fixed != 0) {
    print(
        fmt::format("The following inconsistencies were found and repaired:\n\n"
                    "    {} leaked clusters\n    {} corruptions\n\n"
                    "Double checking the fixed image now...\n",
                    outcome.leaks_fixed, outcome.corruptions_fixed));
  }
  if (result.clean()) print("No errors were found on the image.\n");
  if (result.corruptions != 0) {
    print(
        fmt::format("\n{} errors were found on the image.\nData may be corrupted, or further "
                    "writes to the image may corrupt it.\n",
                    result.corruptions));
  }
  if (result.leaks != 0) {
    print(
        fmt::format("\n{} leaked clusters were found on the image.\nThis means waste of disk "
                    "space, but no harm to data.\n",
                    result.leaks));
  }
  if (result.errors != 0) {
    print(fmt::format("\n{} internal errors have occurred during the check.\n", result.errors));
  }
  if (result.total_clusters != 0 && result.allocated_clusters != 0) {
    print(fmt::format("{}/{} = {}% allocated, {}% fragmented, {}% compressed clusters\n",
                      result.allocated_clusters, result.total_clusters,
                      percent(result.allocated_clusters, result.total_clusters),
                      percent(result.fragmented_clusters, result.allocated_clusters),
                      percent(result.compressed_clusters, result.allocated_clusters)));
  }
  if (result.image_end != 0) print(fmt::format("Image end offset: {}\n", result.image_end));
}

void print_as_text(const Outcome& outcome) {
  if (outcome.format != formats::Format::qcow2) {
    print_blocks(outcome);
    return;
  }
  const CheckResult& result = outcome.result;
  if (outcome.corruptions_fixed + outcome.leaks_fixed != 0) {
    print(fmt::format("Repaired: {} corruptions, {} leaked clusters.\n", outcome.corruptions_fixed,
                      outcome.leaks_fixed));
  }
  if (result.clean()) {
    print("No errors were found on the image.\n");
  } else {
    print(fmt::format("{} corruptions, {} leaked clusters, {} clusters that cannot be checked.\n",
                      result.corruptions, result.leaks, result.errors));
  }
  print(fmt::format(
      "Of {} clusters {}{} are allocated; of these {}{} are fragmented, {}{} "
      "compressed.\n",
      result.total_clusters, result.allocated_clusters,
      share(result.allocated_clusters, result.total_clusters), result.fragmented_clusters,
      share(result.fragmented_clusters, result.allocated_clusters), result.compressed_clusters,
      share(result.compressed_clusters, result.allocated_clusters)));
  print(fmt::format("The image ends at offset {}.\n", result.image_end));
}

void print_outcome(const std::string& path, const Outcome& outcome, AnswerFormat format) {
  switch (format) {
    case AnswerFormat::human:
      return print_as_text(outcome);
    case AnswerFormat::json:
      return print_as_json(path, outcome);
    case AnswerFormat::qemu:
      return print_as_qemu(outcome);
  }
}

std::uint64_t decrease(std::uint64_t before, std::uint64_t after) {
  return before > after ? before - after : 0;
}

// Nothing is wrong any more but flags, which follow from refcounts that are right.
bool only_flags(const CheckResult& result) {
  return result.errors == 0 && result.leaks == 0 && result.corruptions == result.wrong_flags;
}

// They are given new places, so all refcounts have to be right.
bool only_snapshots(const CheckResult& result) {
  return result.errors == 0 && result.corruptions == result.wrong_snapshots &&
         result.corruptions > 0;
}

// One round of repairs; false when there is nothing to be done in this scope.
bool repair_once(const io::File& file, Repair repair, const CheckResult& found) {
  if (found.clean()) return false;
  if (repair == Repair::all && only_snapshots(found)) {
    formats::qcow2::mend_snapshots(file);
  } else if (repair == Repair::all) {
    formats::qcow2::repair(file, RepairScope::all, stop_flag());
  } else {
    formats::qcow2::repair(file, only_flags(found) ? RepairScope::flags : RepairScope::leaks,
                           stop_flag());
  }
  return true;
}

// Checks again after each round: right refcounts can bring wrong flags to light.
Outcome check_and_repair(const io::File& file, Repair repair, const ProblemSink& tell) {
  constexpr int most_rounds = 4;
  const auto tell_nothing = [](const std::string&) {};
  Outcome outcome;
  outcome.result = formats::qcow2::check(file, tell, stop_flag());
  if (repair == Repair::none) return outcome;
  const CheckResult before = outcome.result;
  for (int round = 0; round < most_rounds; ++round) {
    if (!repair_once(file, repair, outcome.result)) break;
    outcome.result = formats::qcow2::check(file, tell_nothing, stop_flag());
  }
  if (outcome.result.errors == 0 && outcome.result.corruptions == 0) {
    formats::qcow2::mark_clean(file);
    formats::qcow2::release_free_clusters(file, stop_flag());
  }
  outcome.corruptions_fixed = decrease(before.corruptions, outcome.result.corruptions);
  outcome.leaks_fixed = decrease(before.leaks, outcome.result.leaks);
  return outcome;
}

Outcome check_blocks(const io::File& file, formats::Format format, const ProblemSink& tell) {
  formats::BlockCheck check(tell);
  formats::check_block_image(file, format, check);
  const formats::BlockCheckResult& found = check.result();
  if (found.corruptions > formats::BlockCheck::most_told) {
    tell(fmt::format("... and {} more", found.corruptions - formats::BlockCheck::most_told));
  }
  Outcome outcome;
  outcome.format = format;
  outcome.result.corruptions = found.corruptions;
  outcome.result.leaks = found.leaked_blocks;
  outcome.leaked_bytes = found.leaked_bytes;
  outcome.result.image_end = found.image_end;
  outcome.result.total_clusters = found.total_blocks;
  outcome.result.allocated_clusters = found.allocated_blocks;
  outcome.result.compressed_clusters = found.compressed_blocks;
  return outcome;
}

void refuse_format(const std::string& path, formats::Format format, Repair repair) {
  if (format == formats::Format::qcow2) return;
  if (!formats::is_block_format(format)) {
    throw io::Error(io::ErrorKind::unsupported, path,
                    fmt::format("is {}, which cannot be checked", name_of(format)));
  }
  if (repair == Repair::none) return;
  throw io::Error::refusal(
      path, fmt::format("is {}, which imgtool checks and does not repair; what can be read of it "
                        "is in a new image that convert makes",
                        name_of(format)));
}

Outcome check(const std::string& path, std::optional<formats::Format> format, Repair repair,
              bool force_share, bool json) {
  const io::File file(path, repair == Repair::none ? O_RDONLY : O_RDWR);
  if (!format) format = formats::probe(file);
  refuse_format(path, *format, repair);
  if (repair != Repair::none) {
    io::lock_image(file, io::ImageUse::writing);
  } else if (!force_share) {
    io::lock_image(file, io::ImageUse::reading, way_past_lock);
  }
  const ProblemSink tell = [json](const std::string& problem) {
    json ? complain(problem) : print(terminal_text(problem) + '\n');
  };
  if (*format != formats::Format::qcow2) return check_blocks(file, *format, tell);
  return check_and_repair(file, repair, tell);
}

// As qemu-img has it, such an image is no image that cannot be checked, but one that it cannot
// open.
bool needs_unknown_features(const std::string& path) {
  const io::File file(path, O_RDONLY);
  if (formats::probe(file) != formats::Format::qcow2) return false;
  try {
    (void)formats::qcow2::read_header(file);
    return false;
  } catch (const io::Error&) {
    return true;
  }
}

}  // namespace

int run_check(const Arguments& arguments) {
  std::string path;
  std::optional<formats::Format> format;
  Repair repair = Repair::none;
  AnswerFormat output = AnswerFormat::human;
  CommandLine line("check",
                   "Checks whether an image is consistent: every table entry, what is past the end "
                   "of the file, places with two owners; of qcow2 also the refcounts. Also VMDK, "
                   "VHD, VHDX, VDI, QED, qcow and Parallels images. Content and the files that "
                   "the image names are not looked at.");
  line.argument("IMAGE", path, "image to check; only --repair writes to it");
  line.option("format,f", format_into(format),
              "format of the image (default: its content decides)");
  line.option(
      "repair,r",
      choice_into(repair, {{"none", Repair::none}, {"leaks", Repair::leaks}, {"all", Repair::all}}),
      "qcow2: mend refcounts that are too high, or everything that can be mended; the file gives "
      "back the room that is free then");
  bool force_share = false;
  force_share_option(line, force_share);
  answer_format_option(line, output);
  source_cache_option(line);
  line.exit_code(clean_code, "no errors");
  line.exit_code(failed_code, "the check could not be completed");
  line.exit_code(corrupt_code, "corruptions were found, or wrong usage");
  line.exit_code(leaks_code, "leaked clusters were found, but no corruptions");
  line.exit_code(unsupported_code, "images of this format cannot be checked");
  line.example("imgtool check golden.qcow2", "before it is copied to all machines");
  line.example("imgtool check --json golden.qcow2", "for a script written for qemu-img");
  if (const auto exit = line.parse(arguments)) return *exit;

  if (force_share && repair != Repair::none) {
    throw UsageError("check: --force-share only reads, and --repair writes");
  }
  if (line.common().json) output = AnswerFormat::json;
  const bool json = output == AnswerFormat::json;
  try {
    const Outcome outcome = check(path, format, repair, force_share, json);
    print_outcome(path, outcome, output);
    return code_of(outcome.result);
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    Failure failure = describe_failure(std::current_exception(), 0);
    const bool unsupported =
        error.kind() == io::ErrorKind::unsupported && !needs_unknown_features(path);
    failure.exit_code = unsupported ? unsupported_code : failed_code;
    return report_failure(failure, json);
  }
}

}  // namespace imgtool
