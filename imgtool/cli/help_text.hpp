// Lays out the text of --help: headings, two columns, lines of at most 80 columns.
#pragma once

#include <string>
#include <string_view>

namespace imgtool {

class HelpText {
 public:
  void line(std::string_view text);
  // A blank line, then `text` wrapped.
  void paragraph(std::string_view text);
  // Printed only once something follows it.
  void heading(std::string_view text);
  // A label and what it means; a long label gets a line of its own.
  void row(std::string_view label, std::string_view text);
  void example(std::string_view command, std::string_view text);

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void wrap(std::string_view text, std::size_t indent, std::size_t column);
  void flush_heading();

  std::string text_;
  std::string heading_;
};

// "output-format,O" and "FORMAT": "-O, --output-format FORMAT".
std::string option_label(std::string_view names, std::string_view placeholder);

// "text (default: full)".
std::string with_default(std::string_view text, std::string_view default_text);

}  // namespace imgtool
