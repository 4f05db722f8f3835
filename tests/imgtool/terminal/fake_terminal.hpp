// A terminal for tests: keeps a screen as xterm would, from what is written to it.
//
// Knows what Progress uses: CR, LF, cursor up (CSI n A), erase to the end of the line (CSI K) and
// of the screen (CSI J), wrapping at the right edge, scrolling. Anything else fails the test.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "imgtool/terminal/text_output.hpp"

namespace imgtool {

class FakeTerminal : public TextOutput {
 public:
  FakeTerminal(std::size_t columns, std::size_t rows) : size_{columns, rows}, lines_(1) {}

  std::optional<std::size_t> write_some(std::string_view text) override {
    if (gone) {
      return std::nullopt;
    }
    const std::size_t taken = std::min(text.size(), takes);
    raw += text.substr(0, taken);
    if (is_terminal) {
      feed(text.substr(0, taken));
    }
    return taken;
  }
  void wait(int) override { takes = takes_after_wait; }
  std::optional<ScreenSize> screen() override {
    return is_terminal ? std::optional(size_) : std::nullopt;
  }
  bool in_foreground() override { return foreground; }

  void resize(std::size_t columns) { size_.columns = columns; }

  // A message on standard error that shows on the same terminal.
  void print(std::string_view text) { feed(std::string(text) + '\n'); }

  // What was ever on the screen, scrolled away or not, without trailing blanks.
  [[nodiscard]] std::string text() const {
    std::string all;
    for (std::string line : lines_) {
      line.erase(line.find_last_not_of(' ') + 1);
      all += line + '\n';
    }
    return all.substr(0, all.find_last_not_of('\n') + 1);
  }

  [[nodiscard]] std::size_t column() const { return column_; }
  [[nodiscard]] bool cursor_is_below_everything() const {
    return column_ == 0 && row_ + 1 == lines_.size() && lines_[row_].empty();
  }

  std::string raw;
  bool is_terminal = true;
  bool foreground = true;
  bool gone = false;
  std::size_t takes = std::string::npos;  // bytes per write_some()
  std::size_t takes_after_wait = std::string::npos;

 private:
  void feed(std::string_view text) {
    while (!text.empty()) {
      if (text.starts_with("\x1b[")) {
        const std::size_t end = text.find_first_not_of("0123456789", 2);
        const std::string number(text.substr(2, end - 2));
        control(text.at(end), number.empty() ? 0 : std::stoul(number));
        text.remove_prefix(end + 1);
        continue;
      }
      put(text.front());
      text.remove_prefix(1);
    }
  }

  void put(char c) {
    if (c == '\r') {
      column_ = 0;
    } else if (c == '\n') {
      next_line();
    } else {
      ASSERT_GE(c, ' ') << "a control character reached the terminal";
      if (column_ == size_.columns) {
        next_line();
      }
      std::string& line = lines_[row_];
      line.resize(std::max(line.size(), column_ + 1), ' ');
      line[column_++] = c;
    }
  }

  void next_line() {
    column_ = 0;
    if (++row_ == lines_.size()) {
      lines_.emplace_back();
    }
  }

  void control(char command, std::size_t number) {
    std::string& line = lines_[row_];
    switch (command) {
      case 'A': {
        const std::size_t top = lines_.size() > size_.rows ? lines_.size() - size_.rows : 0;
        row_ = row_ >= top + number ? row_ - number : top;
        break;
      }
      case 'J':
        lines_.resize(row_ + 1);
        [[fallthrough]];
      case 'K':
        lines_[row_].resize(std::min(lines_[row_].size(), column_));
        break;
      default:
        FAIL() << "unknown control sequence ending in " << command << " on " << line;
    }
  }

  ScreenSize size_;
  std::vector<std::string> lines_;
  std::size_t row_ = 0;
  std::size_t column_ = 0;
};

}  // namespace imgtool
