#include "imgtool/reports/markup.hpp"

#include "imgtool/terminal/escape.hpp"

namespace imgtool {

std::string harmless_markup(std::string_view text) {
  std::string result;
  for (const char c : terminal_text(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace imgtool
