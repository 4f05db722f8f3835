#include "imgtool/terminal/text_output.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

namespace imgtool {

std::optional<std::size_t> FdOutput::write_some(std::string_view text) {
  std::size_t taken = 0;
  while (taken < text.size()) {
    pollfd request = {.fd = fd_, .events = POLLOUT, .revents = 0};
    if (::poll(&request, 1, 0) <= 0) {
      return taken;
    }
    // A pipe that poll() calls writable takes PIPE_BUF bytes at once, so this does not wait. Nor
    // does a terminal, unless it is stopped (Ctrl-S) in this very moment.
    const std::size_t length = std::min<std::size_t>(text.size() - taken, PIPE_BUF);
    const ssize_t count = ::write(fd_, text.data() + taken, length);
    if (count < 0) {
      const bool later = errno == EINTR || errno == EAGAIN;
      return later ? std::optional(taken) : std::nullopt;
    }
    taken += static_cast<std::size_t>(count);
  }
  return taken;
}

void FdOutput::wait(int timeout_ms) {
  pollfd request = {.fd = fd_, .events = POLLOUT, .revents = 0};
  (void)::poll(&request, 1, timeout_ms);
}

std::optional<ScreenSize> FdOutput::screen() {
  constexpr ScreenSize usual = {80, 24};  // a serial console does not know its size
  const char* terminal = std::getenv("TERM");
  if (::isatty(fd_) == 0 || terminal == nullptr || std::string_view(terminal) == "dumb") {
    return std::nullopt;
  }
  winsize size = {};
  if (::ioctl(fd_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return usual;
  }
  return ScreenSize{size.ws_col, size.ws_row};
}

bool FdOutput::in_foreground() {
  const pid_t group = ::tcgetpgrp(fd_);
  return group == -1 || group == ::getpgrp();
}

}  // namespace imgtool
