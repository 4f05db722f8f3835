#include "imgtool/guest/shell.hpp"

#include <charconv>

#include <fmt/format.h>

#include "imgtool/guest/trouble.hpp"

namespace imgtool::guest {
namespace {

std::string last_line(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto end = text.find_last_not_of(blank);
  if (end == std::string_view::npos) return "";
  text = text.substr(0, end + 1);
  text.remove_prefix(text.find_last_of('\n') + 1);  // npos + 1 is 0
  text.remove_prefix(text.find_first_not_of(blank));
  return short_line(text);
}

}  // namespace

std::string CommandResult::complaint() const {
  std::string line = last_line(err);
  if (line.empty()) line = last_line(out);
  return line.empty() ? fmt::format("it ended with {}", code) : line;
}

std::string short_line(std::string_view line) {
  constexpr std::size_t most = 200;
  return line.size() <= most ? std::string(line) : std::string(line.substr(0, most)) + "...";
}

std::string Shell::must(std::string_view doing, const std::string& command) {
  CommandResult result = run(command);
  if (result.code != 0) throw failed_step(fmt::format("{}: {}", doing, result.complaint()));
  return std::move(result.out);
}

std::uint64_t number_after(std::string_view text, std::string_view label) {
  const auto place = text.find(label);
  if (place != std::string_view::npos) {
    std::string_view rest = text.substr(place + label.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(": \t="), rest.size()));
    std::uint64_t number = 0;
    const auto end = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (end.ec == std::errc()) return number;
  }
  throw failed_step(fmt::format("a program did not tell its '{}'", label));
}

}  // namespace imgtool::guest
