#include "imgtool/burn_report.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "imgtool/escape.hpp"
#include "imgtool/exit_code.hpp"
#include "imgtool/human.hpp"
#include "imgtool/report.hpp"

namespace imgtool {
namespace {

using Json = nlohmann::ordered_json;

Json ranges_as_json(const std::vector<io::ByteRange>& ranges) {
  Json list = Json::array();
  for (const io::ByteRange& range : ranges) {
    list.push_back({{"start", range.offset}, {"length", range.length}});
  }
  return list;
}

// Null: nothing was to be done to it.
Json describe(const TableChange& change) {
  if (change.nothing()) return {};
  Json table;
  table["backup-moved"] = change.fit.backup_moved;
  table["primary-restored"] = change.fit.primary_restored;
  table["grown"] = nullptr;
  if (const auto& growth = change.fit.growth) {
    table["grown"] = {{"partition", growth->partition},
                      {"size-before", growth->before},
                      {"size-after", growth->after}};
  }
  table["wiped"] = ranges_as_json(change.fit.wiped);
  table["wiped-behind-image"] = ranges_as_json(change.strays);
  table["left-out-bytes"] = change.left_out;
  table["left-because"] = change.fit.left_because.empty() ? Json() : Json(change.fit.left_because);
  return table;
}

Json describe(const BurnTarget& target, const BurnResult& result, VerifyMode verify) {
  Json entry;
  entry["path"] = target.path();
  const auto& device = target.device();
  entry["model"] = device ? Json(device->model) : Json();
  entry["serial"] = device ? Json(device->serial) : Json();
  entry["size"] = device ? Json(target.capacity()) : Json();
  entry["status"] = result.error ? "failed" : verify == VerifyMode::none ? "written" : "verified";
  entry["data-bytes"] = result.data_bytes;
  entry["zero-bytes"] = result.zero_bytes;
  entry["rewritten-bytes"] = result.rewritten_bytes;
  entry["bad-ranges"] = ranges_as_json(result.bad_ranges);
  entry["partition-table"] = result.error ? Json() : describe(result.table);
  if (result.error) {
    const auto failure = describe_failure(std::make_exception_ptr(*result.error), 0);
    entry["error"] = error_document(failure)["error"];
  }
  return entry;
}

std::string in_words(const BurnTarget& target, const BurnResult& result, VerifyMode verify) {
  if (result.error) return fmt::format("FAILED: {}", result.error->what());
  std::string text = fmt::format("{}: {} written, {} zeroed, flushed", target.path(),
                                 human_size(result.data_bytes), human_size(result.zero_bytes));
  text += verify == VerifyMode::full     ? ", every byte verified"
          : verify == VerifyMode::sample ? ", a sample verified"
                                         : ", not verified";
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
  return fmt::format("{}: {} burned in {}", image, human_size(job.image_size()),
                     human_duration(facts.seconds));
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
  if (!job.digest().empty()) document["digest"] = job.digest();
  document["seconds"] = facts.seconds;
  document["targets"] = Json::array();
  for (std::size_t index = 0; index < targets.size(); ++index) {
    const Json entry = describe(*targets[index], job.results()[index], facts.verify);
    if (entry.contains("error") && !document.contains("error")) {
      document["error"] = entry["error"];
    }
    document["targets"].push_back(entry);
  }
  print_json(document);
}

}  // namespace

int report_burn(const BurnFacts& facts, const BurnJob& job,
                const std::vector<std::unique_ptr<BurnTarget>>& targets, bool json) {
  const auto& results = job.results();
  const bool lone_failure = results.size() == 1 && results.front().error;
  if (lone_failure) complain(results.front().error->what());
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
