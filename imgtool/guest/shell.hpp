// Commands in the appliance, as the tools for file systems use them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "imgtool/terminal/shell_word.hpp"

namespace imgtool::guest {

// Bytes of a command's output that are kept: more than is ever read, less than libguestfs carries.
inline constexpr std::size_t most_output = std::size_t{1} << 20;

// Code of a line of sh whose program is not there.
inline constexpr int program_not_found = 127;

struct CommandResult {
  int code = 0;
  std::string out;
  std::string err;

  // What a person wants to see of a failure: the last line that says something.
  [[nodiscard]] std::string complaint() const;
};

class Shell {
 public:
  virtual ~Shell() = default;

  // Runs a line of sh. Throws io::Error when the appliance is gone; a command that fails is a
  // result.
  virtual CommandResult run(const std::string& command) = 0;

  // One that has to succeed; gives its standard output. `doing` is for the message: "measuring
  // partition 2".
  std::string must(std::string_view doing, const std::string& command);
};

// `line` for a message: programs may say millions of words.
[[nodiscard]] std::string short_line(std::string_view line);

// The number behind `label` and white space or a colon: number_after("Block count:  12", "Block
// count"). Throws io::Error when it is not there.
[[nodiscard]] std::uint64_t number_after(std::string_view text, std::string_view label);

}  // namespace imgtool::guest
