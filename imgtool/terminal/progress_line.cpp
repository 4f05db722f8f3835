#include "imgtool/terminal/progress_line.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"

namespace imgtool {
namespace {

using State = TargetProgress::State;

constexpr std::size_t narrowest_name = 8;  // "/dev/sdb"
constexpr std::size_t narrowest_bar = 10;
constexpr std::size_t widest_bar = 50;
constexpr std::size_t clock_with_word = 11;
constexpr std::size_t roomy = 100;  // from here on: two spaces between fields

// Columns of each field of the bar's line, 0 where there is no room for it. They depend on nothing
// that changes during a job, or the line would jitter.
struct LineLayout {
  std::size_t gap;
  std::size_t name = narrowest_name;
  std::size_t phase = 6;    // "verify"
  std::size_t percent = 4;  // "100%"
  std::size_t bar = 0;
  std::size_t amount = 0;  // "1023 MiB / 1023 MiB"
  std::size_t rate = 0;    // "1023 MiB/s"
  std::size_t clock = 0;   // "ETA 1:02:03", or without its word
};

LineLayout layout_for(std::size_t name_columns, std::size_t columns) {
  LineLayout layout{.gap = columns >= roomy ? 2U : 1U};
  std::size_t used = layout.name + layout.gap + layout.phase + layout.gap + layout.percent;
  const auto room_for = [&](std::size_t width) {
    const bool fits = used + layout.gap + width <= columns;
    used += fits ? layout.gap + width : 0;
    return fits ? width : 0;
  };
  // The most wanted first; what is left widens the name, then the bar.
  layout.rate = room_for(10);
  layout.clock = room_for(clock_with_word);
  layout.clock = layout.clock != 0 ? layout.clock : room_for(7);
  layout.amount = room_for(19);
  const std::size_t left = columns - std::min(used, columns);
  layout.name = std::max(narrowest_name, std::min(name_columns, narrowest_name + left));
  used += layout.name - narrowest_name;
  if (used + layout.gap + narrowest_bar <= columns) {
    layout.bar = std::min(columns - used - layout.gap, widest_bar);
  }
  return layout;
}

std::string amount(const TargetProgress& target) {
  if (target.total) {
    return fmt::format("{} / {}", human_size(target.done), human_size(*target.total));
  }
  return target.done > 0 ? human_size(target.done) : "";
}

std::string rate(const TargetProgress& target) {
  return target.done > 0 ? human_rate(target.rate) : "";
}

// The time that matters now: how long it took, how long it will take, or how long it has been.
std::string clock(const TargetProgress& target, bool with_word) {
  std::string word = "in ";
  double seconds = target.elapsed_s;
  if (target.state == State::running) {
    const auto left = eta_s(target);
    word = left ? "ETA " : "for ";
    seconds = left.value_or(target.elapsed_s);
  }
  return target.state == State::waiting ? "" : (with_word ? word : "") + clock_duration(seconds);
}

// "[====>     ]", `width` columns in all; nothing when the total is unknown.
std::string bar(const TargetProgress& target, std::size_t width) {
  const auto done = percent(target);
  if (!done) {
    return "";
  }
  const std::size_t inside = width - 2;
  const std::size_t filled = inside * *done / 100;
  std::string text(filled, '=');
  text += filled < inside && target.state == State::running ? ">" : "";
  return fmt::format("[{:<{}}]", text, inside);
}

// The first `columns` columns of `text`.
std::string cut(std::string text, std::size_t columns) {
  while (display_columns(text) > columns) {
    while (is_continuation(text.back())) text.pop_back();
    text.pop_back();
  }
  return text;
}

// Pads by what a terminal shows, not by bytes.
std::string name_field(const std::string& name, std::size_t columns) {
  const std::string fitted = fit_columns(terminal_text(name), std::max<std::size_t>(columns, 2));
  const std::size_t shown = display_columns(fitted);
  return fitted + std::string(columns - std::min(columns, shown), ' ');
}

}  // namespace

std::string_view phase_name(io::Phase phase) {
  switch (phase) {
    case io::Phase::write:
      return "write";
    case io::Phase::flush:
      return "flush";
    case io::Phase::verify:
      return "verify";
    case io::Phase::read:
      return "read";
  }
  return "";
}

std::optional<unsigned> percent(const TargetProgress& target) {
  if (target.state == State::ended) {
    return 100;
  }
  if (!target.total) {
    return std::nullopt;
  }
  if (*target.total == 0) {
    return 0;
  }
  const double share = static_cast<double>(target.done) / static_cast<double>(*target.total);
  return std::min(99U, static_cast<unsigned>(share * 100));
}

std::optional<double> eta_s(const TargetProgress& target) {
  constexpr double too_early_s = 1;
  if (target.state == State::ended) {
    return 0;
  }
  if (!target.total || target.rate <= 0 || target.elapsed_s < too_early_s) {
    return std::nullopt;
  }
  const std::uint64_t left = *target.total - std::min(target.done, *target.total);
  return static_cast<double>(left) / target.rate;
}

std::string bar_line(const TargetProgress& target, std::size_t name_columns, std::size_t columns) {
  const LineLayout layout = layout_for(name_columns, columns);
  std::string line = name_field(target.name, layout.name);
  if (target.state == State::failed) {
    return cut(line + " failed: " + terminal_text(target.why), columns);
  }
  const auto add = [&](std::string_view text, std::size_t width, char alignment) {
    if (width > 0) {
      line += std::string(layout.gap, ' ');
      line += alignment == '<' ? fmt::format("{:<{}}", text, width)
                               : fmt::format("{:>{}}", text, width);
    }
  };
  const auto share = percent(target);
  add(target.state == State::waiting ? "" : phase_name(target.phase), layout.phase, '<');
  add(share ? fmt::format("{}%", *share) : "", layout.percent, '>');
  add(layout.bar > 0 ? bar(target, layout.bar) : "", layout.bar, '<');
  add(amount(target), layout.amount, '>');
  add(rate(target), layout.rate, '>');
  add(clock(target, layout.clock == clock_with_word), layout.clock, '<');
  line.erase(line.find_last_not_of(' ') + 1);
  return cut(line, columns);
}

std::string plain_line(const TargetProgress& target) {
  const std::string name = terminal_text(target.name);
  switch (target.state) {
    case State::waiting:
      return name + ": waiting";
    case State::failed:
      return fmt::format("{}: failed: {}", name, terminal_text(target.why));
    case State::running:
    case State::ended:
      break;
  }
  std::string line = fmt::format("{}: {}", name, phase_name(target.phase));
  if (const auto share = percent(target)) {
    line += fmt::format(" {}%", *share);
  }
  if (target.total) {
    line += fmt::format(", {} of {}", human_size(target.done), human_size(*target.total));
  } else if (target.done > 0) {
    line += fmt::format(", {}", human_size(target.done));
  }
  if (target.done > 0) {
    line += fmt::format(", {}", human_rate(target.rate));
  }
  return line + ", " + clock(target, true);
}

std::string json_line(const TargetProgress& target) {
  const std::string name = json_string(target.name);
  if (target.state == State::failed) {
    return fmt::format(R"({{"phase":"failed","target":{},"message":{}}})", name,
                       json_string(target.why));
  }
  const auto left = eta_s(target);
  return fmt::format(
      R"({{"phase":"{}","target":{},"done":{},"total":{},"rate":{:.0f},"eta_s":{}}})",
      phase_name(target.phase), name, target.done,
      target.total ? std::to_string(*target.total) : "null", target.rate,
      left ? fmt::format("{:.1f}", *left) : "null");
}

}  // namespace imgtool
