#include "imgtool/guest/steps.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/text_output.hpp"

namespace imgtool::guest {
namespace {

constexpr auto clock_interval = std::chrono::milliseconds(100);
constexpr unsigned draws_every = 5;  // intervals
constexpr int patience_ms = 100;     // with a reader that takes nothing

}  // namespace

Steps::Steps(std::string target, const JobOptions& job)
    : target_(std::move(target)),
      fd_(job.progress_fd ? static_cast<int>(*job.progress_fd) : STDERR_FILENO),
      mode_(job.progress),
      began_(std::chrono::steady_clock::now()) {
  if (mode_ == ProgressMode::automatic) {
    mode_ = FdOutput(fd_).screen() ? ProgressMode::bar : ProgressMode::plain;
  }
  clock_ = std::jthread([this](const std::stop_token& end) { run(end); });
}

void Steps::begin(const std::string& step) {
  const std::lock_guard lock(mutex_);
  end_line();
  step_ = step;
  began_ = std::chrono::steady_clock::now();
  if (mode_ == ProgressMode::plain) write(terminal_text(step_) + '\n');
  if (mode_ == ProgressMode::json) write(json());
  draw();
}

void Steps::say(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (mode_ == ProgressMode::bar && !step_.empty()) write("\r\x1b[K");
  complain(text);
  draw();
}

void Steps::finish() {
  const std::lock_guard lock(mutex_);
  end_line();
  step_.clear();
}

void Steps::run(const std::stop_token& end) {
  for (unsigned round = 0; !end.stop_requested(); ++round) {
    std::this_thread::sleep_for(clock_interval);
    const std::lock_guard lock(mutex_);
    if (step_.empty()) continue;  // another indicator shows what goes on
    if (round % draws_every == 0) draw();
    if (take_status_request()) {
      complain(fmt::format("{}: {} for {}", target_, step_, human_duration(elapsed_s())));
    }
  }
}

void Steps::draw() {
  if (mode_ != ProgressMode::bar || step_.empty()) return;
  FdOutput display(fd_);
  const auto screen = display.screen();
  if (!screen || !display.in_foreground()) return;
  const std::string line = fmt::format("{}  {}", step_, clock_duration(elapsed_s()));
  write("\r\x1b[K" +
        fit_columns(terminal_text(line), std::max<std::size_t>(screen->columns, 20) - 1));
}

void Steps::end_line() {
  if (mode_ != ProgressMode::bar || step_.empty()) return;
  draw();
  write("\n");
}

// Progress is not worth waiting for a reader that takes nothing.
void Steps::write(std::string_view text) const {
  FdOutput display(fd_);
  for (unsigned tries = 0; !text.empty() && tries < 2; ++tries) {
    if (tries > 0) display.wait(patience_ms);
    const auto taken = display.write_some(text);
    if (!taken) return;
    text.remove_prefix(*taken);
  }
}

double Steps::elapsed_s() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

std::string Steps::json() const {
  return fmt::format(R"({{"phase":{},"target":{},"step":{},"elapsed_s":{:.1f}}})",
                     json_string(step_.substr(0, step_.find(' '))), json_string(target_),
                     json_string(step_), elapsed_s()) +
         '\n';
}

}  // namespace imgtool::guest
