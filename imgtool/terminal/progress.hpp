// Shows how a copy comes along: a bar for each target, plain lines, JSON lines, or nothing.
//
// Counts completions only; a phase is at 100 % when it has ended and not before. Whatever the
// mode, SIGUSR1 prints a line for each target on standard error, and a target that fails is named
// there at once. Output never waits for its reader; one that goes away ends the display, not the
// job. The bars are redrawn in place with the cursor left below them, so a process killed at any
// time leaves the terminal in order. For one thread, like every observer.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imgtool/terminal/job_options.hpp"
#include "imgtool/terminal/progress_line.hpp"
#include "imgtool/terminal/rate_meter.hpp"
#include "imgtool/terminal/text_output.hpp"
#include "io/observer.hpp"

namespace imgtool {

class Progress : public io::CopyObserver {
 public:
  // The world outside, for tests to replace.
  struct Surroundings {
    TextOutput& display;                                          // where progress goes
    std::function<double()> now_s;                                // seconds, only forward
    std::function<bool()> status_requested;                       // true once for each SIGUSR1
    std::function<void(std::string_view)> print_message;          // one line on standard error
    std::function<bool()> stop_requested = [] { return false; };  // by Ctrl-C or a signal
  };

  Progress(std::vector<std::string> targets, const JobOptions& job);
  Progress(std::vector<std::string> targets, ProgressMode mode, Surroundings surroundings);
  ~Progress() override { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void begin(io::Phase phase, std::size_t target, std::optional<std::uint64_t> total) override;
  void completed(io::Phase phase, std::size_t target, std::uint64_t bytes) override;
  void end(io::Phase phase, std::size_t target) override;
  void failed(std::size_t target, std::string_view why) override;
  void tick() override;

  // A line for people on standard error, above the bars. Use it while a job runs.
  void say(std::string_view text);

  // Draws the last state and lets go of the terminal; nothing is shown after it.
  void finish();

 private:
  Progress(std::vector<std::string> targets, ProgressMode mode,
           std::unique_ptr<TextOutput> display);

  enum class StopAnswer : std::uint8_t { not_asked, due, given };

  struct Target {
    TargetProgress shown;
    RateMeter meter;
    double began_s = 0;      // this phase
    double json_last_s = 0;  // when its last JSON line was due
  };

  void update(Target& target);
  void print_status();
  void show_change(Target& target);
  void show_plain();
  void show_json(Target& target, bool important);
  void answer_stop();
  void draw();
  void erase();
  [[nodiscard]] std::string frame(const std::vector<std::string>& lines);
  [[nodiscard]] std::vector<std::string> bar_lines() const;
  void send(std::string_view text);
  void drain();

  std::unique_ptr<TextOutput> owned_display_;
  Surroundings surroundings_;
  ProgressMode mode_;
  StopAnswer stop_answer_ = StopAnswer::not_asked;
  double stop_asked_s_ = 0;
  std::vector<Target> targets_;
  std::optional<double> job_began_s_;
  double plain_last_s_ = 0;
  ScreenSize screen_{80, 24};
  std::vector<std::size_t> drawn_widths_;  // of the lines now on the screen
  std::string drawn_frame_;
  std::string unsent_;
};

}  // namespace imgtool
