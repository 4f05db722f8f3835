// How a job that moves much data shows itself, and how it talks to the kernel: what every such
// command takes. The options are declared in CommandLine::job_options().
#pragma once

#include <cstdint>
#include <optional>

namespace imgtool {

enum class ProgressMode : std::uint8_t { automatic, bar, plain, json, none };
enum class IoEngine : std::uint8_t { automatic, uring, threads };

// What every command that moves much data takes.
struct JobOptions {
  ProgressMode progress = ProgressMode::automatic;
  std::optional<unsigned> progress_fd;  // standard error when not given
  IoEngine io_engine = IoEngine::automatic;
};

}  // namespace imgtool
