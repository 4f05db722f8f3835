#include "imgtool/terminal/progress.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"

namespace imgtool {
namespace {

using State = TargetProgress::State;

constexpr double plain_interval_s = 10;
constexpr double json_interval_s = 0.25;
constexpr double stop_patience_s = 0.3;
constexpr int last_words_ms = 1000;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int display_fd(const JobOptions& job) {
  return job.progress_fd ? static_cast<int>(*job.progress_fd) : 2;
}

}  // namespace

Progress::Progress(std::vector<std::string> targets, const JobOptions& job)
    : Progress(std::move(targets), job.progress, std::make_unique<FdOutput>(display_fd(job))) {}

Progress::Progress(std::vector<std::string> targets, ProgressMode mode,
                   std::unique_ptr<TextOutput> display)
    : Progress(std::move(targets), mode,
               Surroundings{*display, steady_seconds, take_status_request, complain,
                            [] { return stop_flag().load() != 0; }}) {
  owned_display_ = std::move(display);
}

Progress::Progress(std::vector<std::string> targets, ProgressMode mode, Surroundings surroundings)
    : surroundings_(std::move(surroundings)), mode_(mode) {
  if (mode_ == ProgressMode::automatic) {
    mode_ = surroundings_.display.screen() ? ProgressMode::bar : ProgressMode::plain;
  }
  targets_.resize(targets.size());
  for (std::size_t i = 0; i < targets.size(); ++i) {
    targets_[i].shown.name = std::move(targets[i]);
  }
}

void Progress::begin(io::Phase phase, std::size_t index, std::optional<std::uint64_t> total) {
  Target& target = targets_.at(index);
  const double now = surroundings_.now_s();
  if (!job_began_s_) {
    job_began_s_ = plain_last_s_ = now;
  }
  target.shown = {
      .name = target.shown.name, .state = State::running, .phase = phase, .total = total};
  target.meter.start(now);
  target.began_s = now;
  show_change(target);
}

void Progress::completed(io::Phase, std::size_t index, std::uint64_t bytes) {
  targets_.at(index).shown.done += bytes;
}

void Progress::end(io::Phase, std::size_t index) {
  Target& target = targets_.at(index);
  update(target);
  target.shown.state = State::ended;
  target.shown.rate = target.shown.elapsed_s > 0
                          ? static_cast<double>(target.shown.done) / target.shown.elapsed_s
                          : 0;
  show_change(target);
}

void Progress::failed(std::size_t index, std::string_view why) {
  Target& target = targets_.at(index);
  target.shown.state = State::failed;
  target.shown.why = why;
  // A single target's failure ends the job, which says it.
  if (targets_.size() > 1) say(plain_line(target.shown));
  show_change(target);
}

void Progress::tick() {
  for (Target& target : targets_) {
    update(target);
  }
  if (surroundings_.status_requested()) {
    print_status();
  }
  answer_stop();
  drain();
  if (mode_ == ProgressMode::bar) {
    draw();
  } else if (mode_ == ProgressMode::plain) {
    show_plain();
  } else if (mode_ == ProgressMode::json) {
    for (Target& target : targets_) {
      show_json(target, false);
    }
  }
}

// Most jobs end at once; on a slow disk what is under way takes its time.
void Progress::answer_stop() {
  if (stop_answer_ == StopAnswer::given || !surroundings_.stop_requested()) return;
  const double now = surroundings_.now_s();
  if (stop_answer_ == StopAnswer::not_asked) {
    stop_answer_ = StopAnswer::due;
    stop_asked_s_ = now;
  }
  if (now - stop_asked_s_ < stop_patience_s) return;
  stop_answer_ = StopAnswer::given;
  say("stopping: waits for what is under way; once more to leave at once");
}

void Progress::say(std::string_view text) {
  erase();
  surroundings_.print_message(text);
  if (mode_ == ProgressMode::bar) {
    draw();
  }
}

void Progress::finish() {
  if (mode_ == ProgressMode::bar && job_began_s_) {
    draw();
  }
  if (!unsent_.empty()) {
    surroundings_.display.wait(last_words_ms);
    drain();
  }
  mode_ = ProgressMode::none;
}

void Progress::update(Target& target) {
  if (target.shown.state != State::running) {
    return;
  }
  const double now = surroundings_.now_s();
  target.meter.sample(target.shown.done, now);
  target.shown.rate = target.meter.bytes_per_second();
  target.shown.elapsed_s = now - target.began_s;
}

void Progress::print_status() {
  erase();
  for (const Target& target : targets_) {
    surroundings_.print_message(plain_line(target.shown));
  }
}

// A phase began or ended, or the target failed.
void Progress::show_change(Target& target) {
  if (mode_ == ProgressMode::bar) {
    draw();
  } else if (mode_ == ProgressMode::json) {
    show_json(target, true);
  }
}

void Progress::show_plain() {
  const double now = surroundings_.now_s();
  if (!job_began_s_ || now - plain_last_s_ < plain_interval_s || !unsent_.empty()) {
    return;
  }
  plain_last_s_ = now;
  for (const Target& target : targets_) {
    if (target.shown.state == State::running) {
      send("imgtool: " + plain_line(target.shown) + '\n');
    }
  }
}

// Unimportant lines come a few times a second, and not at all while the reader is behind.
void Progress::show_json(Target& target, bool important) {
  const double now = surroundings_.now_s();
  const bool due = target.shown.state == State::running &&
                   now - target.json_last_s >= json_interval_s && unsent_.empty();
  if (important || due) {
    target.json_last_s = now;
    send(json_line(target.shown) + '\n');
  }
}

void Progress::draw() {
  if (!unsent_.empty() || !surroundings_.display.in_foreground()) {
    return;
  }
  const ScreenSize screen = surroundings_.display.screen().value_or(screen_);
  if (screen.columns != screen_.columns) {
    screen_ = screen;
    erase();  // the terminal has wrapped the lines anew
  }
  screen_ = screen;
  const std::vector<std::string> lines = bar_lines();
  const std::string text = fmt::format("{}", fmt::join(lines, "\n"));
  if (text == drawn_frame_) {
    return;
  }
  send(frame(lines));
  drawn_frame_ = text;
  drawn_widths_.clear();
  for (const std::string& line : lines) {
    drawn_widths_.push_back(display_columns(line));
  }
}

// Back to where the bars began, with nothing below.
void Progress::erase() {
  std::size_t rows = 0;
  for (const std::size_t width : drawn_widths_) {
    rows += std::max<std::size_t>(1, (width + screen_.columns - 1) / screen_.columns);
  }
  if (rows > 0) {
    send(fmt::format("\r\x1b[{}A\x1b[J", rows));
  }
  drawn_widths_.clear();
  drawn_frame_.clear();
}

// Over what is on the screen now; each line clears what is left of the one before.
std::string Progress::frame(const std::vector<std::string>& lines) {
  std::string text = "\r";
  if (!drawn_widths_.empty()) {
    text += fmt::format("\x1b[{}A", drawn_widths_.size());
  }
  for (const std::string& line : lines) {
    text += line + "\x1b[K\n";
  }
  return text + "\x1b[J";
}

std::vector<std::string> Progress::bar_lines() const {
  // The last column stays free: what a terminal does after writing there differs.
  const std::size_t columns = std::max<std::size_t>(screen_.columns, 2) - 1;
  const std::size_t most = std::max<std::size_t>(screen_.rows, 3) - 1;
  std::size_t name_columns = 0;
  for (const Target& target : targets_) {
    name_columns = std::max(name_columns, display_columns(terminal_text(target.shown.name)));
  }
  const std::size_t shown = targets_.size() <= most ? targets_.size() : most - 1;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < shown; ++i) {
    lines.push_back(bar_line(targets_[i].shown, name_columns, columns));
  }
  if (shown < targets_.size()) {
    lines.push_back(fmt::format("... and {} more", targets_.size() - shown));
  }
  return lines;
}

void Progress::send(std::string_view text) {
  if (mode_ != ProgressMode::none) {
    unsent_ += text;
    drain();
  }
}

void Progress::drain() {
  if (unsent_.empty()) {
    return;
  }
  const auto taken = surroundings_.display.write_some(unsent_);
  if (!taken) {
    mode_ = ProgressMode::none;  // the reader has gone away
    unsent_.clear();
    return;
  }
  unsent_.erase(0, *taken);
}

}  // namespace imgtool
