// Who hears about a copy: progress displays. An observer never slows a lane.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/error.hpp"

namespace io {

enum class Phase : std::uint8_t { write, flush, verify, read };

// Called on the ring's thread only. `target` counts from 0 in the order the targets were given;
// a job without targets (hash) has one, 0.
class CopyObserver {
 public:
  virtual ~CopyObserver() = default;

  // `total` in bytes; empty when a stream does not say.
  virtual void begin(Phase phase, std::size_t target, std::optional<std::uint64_t> total) = 0;
  // `bytes` more are done: the device said so.
  virtual void completed(Phase phase, std::size_t target, std::uint64_t bytes) = 0;
  virtual void end(Phase phase, std::size_t target) = 0;
  // This target will not be heard of again.
  virtual void failed(std::size_t target, std::string_view why) = 0;
  // About every 100 ms while something runs.
  virtual void tick() = 0;
};

// 0: go on. Else stop soon: hand out no more work, let what is under way end.
using StopFlag = std::atomic<int>;

// Throws ErrorKind::cancelled once `stop` is set; `name` is that of what was worked on.
inline void throw_if_stopped(const StopFlag& stop, const std::string& name) {
  if (stop.load() != 0) throw Error(ErrorKind::cancelled, name, "stopped");
}

}  // namespace io
