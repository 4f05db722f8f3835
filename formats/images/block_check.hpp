// What is found when an image of blocks is checked: its headers, all of its tables, and whether
// each block and table has a place of its own inside the file.
//
// The maps check while they read, and throw the first fault. For a check they are given one of
// these, tell it each fault, and go on without what is damaged.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "io/error.hpp"

namespace formats {

struct BlockCheckResult {
  std::uint64_t corruptions = 0;
  std::uint64_t leaked_blocks = 0;  // places in the file that are nobody's
  std::uint64_t leaked_bytes = 0;
  std::uint64_t total_blocks = 0;  // of the disk
  std::uint64_t allocated_blocks = 0;
  std::uint64_t compressed_blocks = 0;
  std::uint64_t image_end = 0;  // past all that is known to be in use
};

class BlockCheck {
 public:
  // Hears of each fault in one line, up to most_told of them.
  using Tell = std::function<void(const std::string& text)>;
  static constexpr std::uint64_t most_told = 1000;

  explicit BlockCheck(Tell tell) : tell_(std::move(tell)) {}

  void corrupt(const io::Error& fault) {
    if (result_.corruptions++ < most_told) tell_(fault.what());
  }
  // Something that is worth knowing, and no fault.
  void remark(const std::string& text) { tell_(text); }

  [[nodiscard]] BlockCheckResult& result() { return result_; }

 private:
  Tell tell_;
  BlockCheckResult result_;
};

// Where nothing is checked, and the image is to be read, a fault ends it.
inline void report(BlockCheck* check, const io::Error& fault) {
  if (check == nullptr) throw io::Error(fault);
  check->corrupt(fault);
}

}  // namespace formats
