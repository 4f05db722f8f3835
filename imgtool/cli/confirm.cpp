#include "imgtool/cli/confirm.hpp"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/signals.hpp"
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

// Where to ask.
struct Terminal {
  int input;
  int output;

  explicit Terminal(const ConfirmOptions& options) : input(options.input), output(options.output) {
    if (!options.controlling_terminal || ::isatty(input) != 0) return;
    own_ = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (own_ >= 0) input = output = own_;
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    if (own_ >= 0) ::close(own_);
  }

 private:
  int own_ = -1;
};

}  // namespace

void confirm(std::string_view consequence, const std::vector<std::string>& facts,
             const ConfirmOptions& options) {
  if (options.yes) {
    return;
  }
  const Terminal terminal(options);
  if (::isatty(terminal.input) == 0 || ::isatty(terminal.output) == 0) {
    refuse("there is no terminal to ask on; --yes goes on without asking");
  }
  std::string question = terminal_text(consequence) + '\n';
  for (const std::string& fact : facts) {
    question += "  " + terminal_text(fact) + '\n';
  }
  ::tcflush(terminal.input, TCIFLUSH);
  write_all(terminal.output, question + "Type yes to go on: ");
  if (read_line(terminal.input) != "yes\n") {
    refuse("the answer was not yes");
  }
}

}  // namespace imgtool
