// What a command tells its caller in one byte. Scripts rely on these numbers; they never change.
//
// `compare` and `check` answer with qemu-img's numbers instead, and say so in their --help.
#pragma once

#include "io/error.hpp"

namespace imgtool::exit_code {

inline constexpr int done = 0;
inline constexpr int failed = 1;
inline constexpr int usage = 2;    // the command line makes no sense
inline constexpr int refused = 3;  // nothing was started: in use, too small, not confirmed, unsafe
inline constexpr int differs = 4;  // content is not what it must be
inline constexpr int partly = 5;   // some targets failed, or unreadable ranges were skipped

// The shell's way to say "ended by signal N".
[[nodiscard]] constexpr int after_signal(int signal) noexcept { return 128 + signal; }

// `signal` is the one that asked us to stop; 0 when there was none.
[[nodiscard]] constexpr int of(io::ErrorKind kind, int signal) noexcept {
  switch (kind) {
    case io::ErrorKind::refused:
      return refused;
    case io::ErrorKind::mismatch:
      return differs;
    case io::ErrorKind::cancelled:
      return signal != 0 ? after_signal(signal) : failed;
    case io::ErrorKind::system:
    case io::ErrorKind::format:
    case io::ErrorKind::unsupported:
      break;
  }
  return failed;
}

}  // namespace imgtool::exit_code
