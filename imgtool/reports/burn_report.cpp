#include "imgtool/reports/burn_report.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "imgtool/reports/range_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"

namespace imgtool {
namespace {

// Null: nothing was to be done to it.
Json describe(const PartitionTableChange& change) {
  if (change.nothing()) return {};
  Json table;
  table["backup-moved"] = change.fit.backup_moved;
  table["primary-restored"] = change.fit.primary_restored;
  table["primary-left"] = change.fit.primary_left;
  table["grown"] = nullptr;
  if (const auto& growth = change.fit.growth) {
    table["grown"] = {{"partition", growth->partition},
                      {"size-before", growth->before},
                      {"size-after", growth->after}};
  }
  table["wiped"] = ranges_json(change.fit.wiped);
  table["wiped-behind-image"] = Json::array();
  for (const WipedStray& stray : change.strays) {
    table["wiped-behind-image"].push_back(
        {{"start", stray.range.offset}, {"length", stray.range.length}, {"what", stray.what}});
  }
  table["zeros-for-missing-bytes"] = change.filled;
  table["left-out-bytes"] = change.left_out;
  const Json why = change.fit.kept_because.empty() ? Json() : Json(change.fit.kept_because);
  table["kept-because"] = why;
  table["left-because"] = why;  // its name before: kept for one version
  return table;
}

const char* status(const BurnResult& result, VerifyMode verify) {
  if (result.real_size) return "smaller-than-claimed";
  if (result.error) return "failed";
  if (verify == VerifyMode::none) return "written";
  return result.past_cache ? "verified" : "read-back-cached";
}

const char* to_string(HeadState state) {
  switch (state) {
    case HeadState::untouched:
      return "untouched";
    case HeadState::wiped:
      return "wiped";
    case HeadState::complete:
      return "complete";
    case HeadState::unknown:
      break;
  }
  return "unknown";
}

const char* verified_words(const BurnResult& result, VerifyMode verify) {
  const bool all = verify == VerifyMode::full;
  if (verify == VerifyMode::none) return ", not verified";
  if (!result.past_cache) {
    return all ? ", every byte read back through the page cache"
               : ", a sample read back through the page cache";
  }
  return all ? ", every byte verified" : ", a sample verified";
}

// The rate of the data while it was written; nothing where that took no time.
std::optional<double> write_rate(const BurnResult& result) {
  if (result.write_seconds <= 0) return std::nullopt;
  return static_cast<double>(result.data_bytes) / result.write_seconds;
}

// What can be done with a disk that a burn left half-way.
std::string state_words(const BurnResult& result) {
  switch (result.head) {
    case HeadState::untouched:
      return "nothing on it was changed";
    case HeadState::wiped:
      return "its first MiB is wiped, so it does not look complete";
    case HeadState::complete:
      return "it has all of the image";
    case HeadState::unknown:
      break;
  }
  return "its first MiB could not be wiped and may hold anything: do not use it as it is";
}

Json describe(const BurnTarget& target, const BurnResult& result, VerifyMode verify) {
  Json entry;
  entry["path"] = target.path();
  const auto& device = target.device();
  entry["model"] = device ? Json(device->model) : Json();
  entry["serial"] = device ? Json(device->serial) : Json();
  entry["port"] = device && !device->port.empty() ? Json(device->port) : Json();
  entry["size"] = device ? Json(target.capacity()) : Json();
  entry["status"] = status(result, verify);
  entry["past-cache"] =
      verify == VerifyMode::none || result.error ? Json() : Json(result.past_cache);
  entry["head"] = to_string(result.head);
  entry["real-size"] = result.real_size ? Json(*result.real_size) : Json();
  entry["data-bytes"] = result.data_bytes;
  entry["zero-bytes"] = result.zero_bytes;
  entry["write-seconds"] = result.write_seconds;
  const auto rate = write_rate(result);
  entry["write-bytes-per-second"] = rate ? Json(*rate) : Json();
  entry["rewritten-bytes"] = result.rewritten_bytes;
  entry["bad-ranges"] = ranges_json(result.bad_ranges);
  entry["partition-table"] = result.error ? Json() : describe(result.table);
  if (result.error) {
    const auto failure = describe_failure(std::make_exception_ptr(*result.error), 0);
    entry["error"] = error_document(failure)["error"];
  }
  return entry;
}

std::string failure_words(const BurnTarget& target, const BurnResult& result) {
  if (!target.device()) return result.error->what();
  std::string text = result.error->what();
  // A stream's length is known only at its end, a disk's size from the beginning.
  const bool too_long = result.error->error_number() == ENOSPC && result.error->range() &&
                        result.error->range()->end() > target.capacity();
  if (too_long) {
    text += fmt::format("; the image goes on behind the end of the disk, which has {} bytes ({})",
                        target.capacity(), human_size(target.capacity()));
  }
  text += "; " + state_words(result);
  const io::BlockDevice& disk = *target.device();
  std::string which;  // several disks in a hub: which one to pull
  for (const std::string& word : {disk.model, disk.serial}) {
    if (!word.empty()) which += (which.empty() ? "" : " ") + word;
  }
  if (!disk.port.empty()) which += (which.empty() ? "the one at " : " at ") + disk.port;
  if (!which.empty()) text += "; it is " + which;
  return text;
}

std::string in_words(const BurnTarget& target, const BurnResult& result, VerifyMode verify) {
  if (result.error) return fmt::format("FAILED: {}", failure_words(target, result));
  std::string text = fmt::format("{}: {} written", target.path(), human_size(result.data_bytes));
  if (const auto rate = write_rate(result); rate && result.write_seconds >= 1) {
    text += fmt::format(" at {}/s", human_size(static_cast<std::uint64_t>(*rate)));
  }
  text += fmt::format(", {} zeroed, flushed", human_size(result.zero_bytes));
  text += verified_words(result, verify);
  if (result.rewritten_bytes > 0) {
    text += fmt::format(" ({} had to be written again: watch this disk)",
                        human_size(result.rewritten_bytes));
  }
  if (const auto words = in_words(result.table); !words.empty()) text += "; " + words;
  if (!result.remark.empty()) text += "; " + result.remark;
  return text;
}

std::string headline(const BurnFacts& facts, const BurnJob& job) {
  const std::string image = facts.image == "-" ? "standard input" : facts.image;
  const auto& results = job.results();
  const bool any = std::any_of(results.begin(), results.end(),
                               [](const BurnResult& result) { return !result.error; });
  if (!any) return fmt::format("{}: no target holds it", image);
  std::string text = fmt::format("{}: {} burned in {}", image, human_size(job.image_size()),
                                 human_duration(facts.seconds));
  if (facts.seconds >= 1) {
    const auto rate = static_cast<double>(job.image_size()) / facts.seconds;
    text += fmt::format(" ({}/s)", human_size(static_cast<std::uint64_t>(rate)));
  }
  if (facts.file_matched) text += ", the file's digest is as it must be";
  if (!job.digest().empty()) text += ", its content's digest is as it must be";
  return text;
}

int exit_code_for(const std::vector<BurnResult>& results) {
  const auto failed = std::count_if(results.begin(), results.end(), [](const BurnResult& result) {
    return result.error.has_value();
  });
  if (failed == 0) return exit_code::done;
  if (static_cast<std::size_t>(failed) < results.size()) return exit_code::partly;
  return exit_code::of(results.front().error->kind(), 0);
}

void print_document(const BurnFacts& facts, const BurnJob& job,
                    const std::vector<std::unique_ptr<BurnTarget>>& targets) {
  Json document;
  document["image"] = facts.image;
  document["image-size"] = job.image_size();
  document["image-content"] = facts.content.empty() ? Json() : Json(facts.content);
  if (!job.digest().empty()) document["digest"] = job.digest();
  if (facts.file_matched) {
    document["digest-matched"] = "file";
  } else if (!job.digest().empty()) {
    document["digest-matched"] = "content";
  }
  document["seconds"] = facts.seconds;
  document["bytes-per-second"] =
      facts.seconds > 0 ? Json(static_cast<double>(job.image_size()) / facts.seconds) : Json();
  document["targets"] = Json::array();
  for (std::size_t index = 0; index < targets.size(); ++index) {
    Json entry = describe(*targets[index], job.results()[index], facts.verify);
    const bool misplaced = index < facts.misplaced.size() && !facts.misplaced[index].empty();
    entry["misplaced"] = misplaced ? Json(facts.misplaced[index]) : Json();
    if (entry.contains("error") && !document.contains("error")) {
      document["error"] = entry.at("error");
    }
    document["targets"].push_back(entry);
  }
  print_json(document);
}

}  // namespace

void report_stopped_burn(const BurnJob& job,
                         const std::vector<std::unique_ptr<BurnTarget>>& targets) {
  for (std::size_t index = 0; index < targets.size(); ++index) {
    if (!targets[index]->device()) continue;
    const BurnResult& result = job.results()[index];
    complain(terminal_text(fmt::format("{}: {}", targets[index]->path(), state_words(result))));
  }
}

int report_burn(const BurnFacts& facts, const BurnJob& job,
                const std::vector<std::unique_ptr<BurnTarget>>& targets, bool json) {
  const auto& results = job.results();
  const bool lone_failure = results.size() == 1 && results.front().error;
  if (lone_failure) complain(terminal_text(failure_words(*targets.front(), results.front())));
  if (json) {
    print_document(facts, job, targets);
  } else if (!lone_failure) {
    print(terminal_text(headline(facts, job)) + "\n");
    for (std::size_t index = 0; index < targets.size(); ++index) {
      print(terminal_text(in_words(*targets[index], results[index], facts.verify)) + "\n");
    }
  }
  return exit_code_for(results);
}

}  // namespace imgtool
