// Says which step of the work in the appliance is under way: there is no telling how far it is,
// but it can be told what it does, and for how long.
//
// As --progress asks: a line on the terminal that is redrawn, one line a step, JSON lines
// ({"phase":"shrinking","target":...,"step":"shrinking partition 2 (ext4)","elapsed_s":N}), or
// nothing. SIGUSR1 prints the step on standard error, in any mode. Called from one thread; has one
// of its own for the clock.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "imgtool/cli/options.hpp"

namespace imgtool::guest {

class Steps {
 public:
  Steps(std::string target, const JobOptions& job);
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;
  ~Steps() { finish(); }

  // A phrase whose first word is the phase: "shrinking partition 2 (ext4)".
  void begin(const std::string& step);
  // A line for people on standard error.
  void say(std::string_view text);
  // The last step ended. The next begin() goes on.
  void finish();

 private:
  void run(const std::stop_token& end);
  void draw();
  void end_line();
  void write(std::string_view text) const;
  [[nodiscard]] double elapsed_s() const;
  [[nodiscard]] std::string json() const;

  const std::string target_;
  const int fd_;
  ProgressMode mode_;
  std::mutex mutex_;
  std::string step_;
  std::chrono::steady_clock::time_point began_;
  std::jthread clock_;
};

}  // namespace imgtool::guest
