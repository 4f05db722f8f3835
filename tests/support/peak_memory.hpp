// How much memory a piece of a test takes, by the kernel's count of resident pages. In a process
// whose pages a sanitizer multiplies it says nothing: `counts` is false there.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace tests {

class PeakMemory {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  static constexpr bool counts = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  static constexpr bool counts = false;
#else
  static constexpr bool counts = true;
#endif
#else
  static constexpr bool counts = true;
#endif

 public:
  PeakMemory() {
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    before_ = field("VmRSS:");
  }

  // Bytes on top of what there was at first; 0 where it does not count.
  [[nodiscard]] std::uint64_t bytes() const {
    if (!counts) return 0;
    const std::uint64_t peak = field("VmHWM:");
    return peak > before_ ? peak - before_ : 0;
  }

 private:
  static std::uint64_t field(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
      if (word != name) continue;
      std::uint64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
    return 0;
  }

  std::uint64_t before_ = 0;
};

}  // namespace tests
