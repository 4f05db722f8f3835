#include "imgtool/cli/help_text.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace imgtool {
namespace {

constexpr std::size_t width = 80;
constexpr std::size_t label_indent = 2;
constexpr std::size_t text_indent = 26;

}  // namespace

void HelpText::line(std::string_view text) {
  text_ += text;
  text_ += '\n';
}

void HelpText::paragraph(std::string_view text) {
  text_ += '\n';
  wrap(text, 0, 0);
}

void HelpText::heading(std::string_view text) { heading_ = text; }

void HelpText::row(std::string_view label, std::string_view text) {
  flush_heading();
  std::string start = fmt::format("{:{}}{}", "", label_indent, label);
  if (start.size() + 2 > text_indent) {
    line(start);
    start.clear();
  }
  text_ += fmt::format("{:{}}", start, text_indent);
  wrap(text, text_indent, text_indent);
}

void HelpText::example(std::string_view command, std::string_view text) {
  flush_heading();
  line(fmt::format("{:{}}{}", "", label_indent, command));
  text_ += fmt::format("{:{}}", "", 2 * label_indent + 2);
  wrap(text, 2 * label_indent + 2, 2 * label_indent + 2);
}

// Ends the line that is at `column` already with `text`, further lines starting at `indent`.
void HelpText::wrap(std::string_view text, std::size_t indent, std::size_t column) {
  bool line_is_empty = true;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (!line_is_empty && column + 1 + word.size() > width) {
      text_ += fmt::format("\n{:{}}", "", indent);
      column = indent;
      line_is_empty = true;
    }
    if (!line_is_empty) {
      text_ += ' ';
      ++column;
    }
    text_ += word;
    column += word.size();
    line_is_empty = false;
  }
  text_ += '\n';
}

void HelpText::flush_heading() {
  if (!heading_.empty()) {
    text_ += fmt::format("\n{}:\n", heading_);
    heading_.clear();
  }
}

std::string option_label(std::string_view names, std::string_view placeholder) {
  const std::size_t comma = names.find(',');
  const std::string_view long_name = names.substr(0, comma);
  const std::string_view letter =
      comma == std::string_view::npos ? std::string_view() : names.substr(comma + 1);
  std::string label = letter.empty() ? "" : fmt::format("-{}", letter);
  if (!long_name.empty()) {
    label += fmt::format("{}--{}", letter.empty() ? "" : ", ", long_name);
  }
  return placeholder.empty() ? label : fmt::format("{} {}", label, placeholder);
}

std::string with_default(std::string_view text, std::string_view default_text) {
  return default_text.empty() ? std::string(text)
                              : fmt::format("{} (default: {})", text, default_text);
}

}  // namespace imgtool
