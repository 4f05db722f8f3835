// What reading from a pipe and writing to one have in common.
#pragma once

#include <chrono>

namespace io {

// To ask the kernel for, so that there are fewer wake-ups; it may grant less.
inline constexpr int pipe_size = 1 << 20;
// How long to wait for the other end before looking at the stop flag.
inline constexpr std::chrono::milliseconds pipe_patience{200};

}  // namespace io
