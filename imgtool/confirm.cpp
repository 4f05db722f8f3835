#include "imgtool/confirm.hpp"

#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "imgtool/escape.hpp"
#include "imgtool/signals.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

[[noreturn]] void refuse(const char* why) {
  throw io::Error(io::ErrorKind::refused, "", fmt::format("not confirmed: {}", why));
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno != EINTR) {
      refuse("the question could not be shown");
    }
    text.remove_prefix(count > 0 ? static_cast<std::size_t>(count) : 0);
  }
}

// A terminal hands over one line at a time.
std::string read_line(int fd) {
  char line[256];
  while (true) {
    const ssize_t count = ::read(fd, line, sizeof line);
    if (stop_flag().load() != 0) {
      throw io::Error(io::ErrorKind::cancelled, "", "stopped before anything was written");
    }
    if (count >= 0) {
      return {line, static_cast<std::size_t>(count)};
    }
    if (errno != EINTR) {
      return {};
    }
  }
}

}  // namespace

void confirm(std::string_view consequence, const std::vector<std::string>& facts,
             const ConfirmOptions& options) {
  if (options.yes) {
    return;
  }
  if (::isatty(options.input) == 0 || ::isatty(options.output) == 0) {
    refuse("there is no terminal to ask on; --yes goes on without asking");
  }
  std::string question = terminal_text(consequence) + '\n';
  for (const std::string& fact : facts) {
    question += "  " + terminal_text(fact) + '\n';
  }
  ::tcflush(options.input, TCIFLUSH);
  write_all(options.output, question + "Type yes to go on: ");
  if (read_line(options.input) != "yes\n") {
    refuse("the answer was not yes");
  }
}

}  // namespace imgtool
