// Where progress is shown: a terminal, a pipe, a file. Never waits for a slow reader.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace imgtool {

struct ScreenSize {
  std::size_t columns;
  std::size_t rows;
};

class TextOutput {
 public:
  virtual ~TextOutput() = default;

  // Bytes of `text` taken without waiting, maybe 0. Empty: the reader has gone away.
  virtual std::optional<std::size_t> write_some(std::string_view text) = 0;
  // Waits until it would take something, at most this long.
  virtual void wait(int timeout_ms) = 0;
  // As it is now; empty when this is not a terminal that can move its cursor.
  virtual std::optional<ScreenSize> screen() = 0;
  // False while the shell has us in the background of this terminal: the screen is not ours.
  virtual bool in_foreground() = 0;
};

// On a file descriptor, which stays open and is the caller's.
class FdOutput : public TextOutput {
 public:
  explicit FdOutput(int fd) : fd_(fd) {}

  std::optional<std::size_t> write_some(std::string_view text) override;
  void wait(int timeout_ms) override;
  std::optional<ScreenSize> screen() override;
  bool in_foreground() override;

 private:
  int fd_;
};

}  // namespace imgtool
