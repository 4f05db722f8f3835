#include "imgtool/reports/survey_report.hpp"

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/table.hpp"

namespace imgtool {
namespace {

using formats::FileSurvey;
using formats::FileUse;
using formats::SurveyedFile;
using formats::SurveyedFolder;

Json json_of(const SurveyedFile& file) {
  return {{"path", file.path},
          {"size", file.size},
          {"stored", file.stored},
          {"use", word_of(file.use)}};
}

Json json_of(const SurveyedFolder& folder) {
  return {{"path", folder.path},
          {"stored", folder.stored},
          {"files", folder.files},
          {"use", word_of(folder.use)}};
}

template <class Item>
Json list_of(const std::vector<Item>& items) {
  Json list = Json::array();
  for (const Item& item : items) list.push_back(json_of(item));
  return list;
}

Json uses_of(const FileSurvey& survey) {
  Json list = Json::array();
  for (std::size_t i = 1; i < survey.uses.size(); ++i) {
    if (survey.uses[i].files == 0) continue;
    list.push_back({{"use", word_of(static_cast<FileUse>(i))},
                    {"files", survey.uses[i].files},
                    {"stored", survey.uses[i].stored}});
  }
  return list;
}

Json json_of(const VolumeFiles& found) {
  const FileSurvey& survey = found.survey;
  Json json;
  json["place"] = found.place;
  json["part"] = found.part;
  json["unread-because"] = found.unread_because.empty() ? Json() : Json(found.unread_because);
  json["warning"] = found.warning.empty() ? Json() : Json(found.warning);
  json["files"] = survey.files;
  json["folders"] = survey.folders;
  json["others"] = survey.others;
  json["stored"] = survey.stored;
  json["complete"] = survey.complete;
  json["largest-files"] = list_of(survey.largest_files);
  json["largest-folders"] = list_of(survey.largest_folders);
  json["uses"] = uses_of(survey);
  json["problems"] = survey.problems;
  json["problem-count"] = survey.problem_count;
  return json;
}

std::string lines_of(const Table& table, std::optional<std::size_t> width) {
  std::string text;
  for (const std::string& line : table.lines(width)) text += line + '\n';
  return text;
}

template <class Item>
std::string largest(const char* title, const std::vector<Item>& items,
                    std::optional<std::size_t> width) {
  if (items.empty()) return "";
  Table table({{"STORED", Column::Cut::never, 0, 0, true},
               {title, Column::Cut::front, 20, 0, false},
               {"WHAT IT IS", Column::Cut::back, 6, 1, false}});
  for (const Item& item : items) {
    table.add({human_size(item.stored), item.path, std::string(phrase_of(item.use))});
  }
  return '\n' + lines_of(table, width);
}

std::string waste(const FileSurvey& survey) {
  std::string text;
  for (std::size_t i = 1; i < survey.uses.size(); ++i) {
    const auto& total = survey.uses[i];
    if (total.files == 0) continue;
    text += fmt::format("  {:>8} in {}: {}\n", human_size(total.stored),
                        number_of(total.files, "file"), phrase_of(static_cast<FileUse>(i)));
  }
  return text.empty() ? "" : "\nwhat a system does without, or makes again:\n" + text;
}

std::string in_words(const VolumeFiles& found, std::optional<std::size_t> width) {
  const FileSurvey& survey = found.survey;
  if (!found.unread_because.empty()) {
    return terminal_text(
               fmt::format("{}: its files cannot be read: {}", found.place, found.unread_because)) +
           '\n';
  }
  std::string text = terminal_text(
      fmt::format("{}: {} in {}, {}", found.place, number_of(survey.files, "file"),
                  number_of(survey.folders + 1, "folder"), human_size(survey.stored)));
  text += '\n';
  if (!found.warning.empty()) text += terminal_text(found.place + ' ' + found.warning) + '\n';
  text += largest("LARGEST FOLDERS", survey.largest_folders, width);
  text += largest("LARGEST FILES", survey.largest_files, width);
  text += waste(survey);
  for (const std::string& problem : survey.problems) text += terminal_text(problem) + '\n';
  if (survey.problem_count > survey.problems.size()) {
    text += fmt::format("and {} more problems\n", survey.problem_count - survey.problems.size());
  }
  if (!survey.complete) text += "there are more files than were looked at\n";
  return text;
}

}  // namespace

std::string_view phrase_of(FileUse use) {
  switch (use) {
    case FileUse::paging:
      return "paging or swap file";
    case FileUse::hibernation:
      return "hibernation file";
    case FileUse::crash_dump:
      return "crash dumps";
    case FileUse::package_cache:
      return "packages and updates, downloaded";
    case FileUse::cache:
      return "caches";
    case FileUse::log:
      return "logs and journals";
    case FileUse::temporary:
      return "temporary files";
    case FileUse::trash:
      return "deleted by users";
    case FileUse::update_backup:
      return "what updates replaced";
    case FileUse::restore_point:
      return "restore points";
    case FileUse::snapshot:
      return "snapshots";
    case FileUse::unknown:
      break;
  }
  return "";
}

Json to_json(const std::vector<VolumeFiles>& volumes) {
  Json list = Json::array();
  for (const VolumeFiles& found : volumes) list.push_back(json_of(found));
  return list;
}

std::string to_text(const std::vector<VolumeFiles>& volumes, std::optional<std::size_t> width) {
  std::string text;
  for (const VolumeFiles& found : volumes) text += '\n' + in_words(found, width);
  return text;
}

}  // namespace imgtool
