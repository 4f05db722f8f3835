// Finding zeros in a buffer, near memory speed.
//
//   for (Run run : zero_runs(chunk, grain)) ...
//
// splits a buffer into alternating runs of zeros and of data. Nothing is allocated; the buffer
// must outlive the range. Any thread may call anything here. Nothing fails.
#pragma once

#include <cstddef>
#include <iterator>
#include <span>
#include <string_view>

namespace io {

// How many bytes at the front are zero.
[[nodiscard]] std::size_t zero_prefix(std::span<const std::byte> bytes) noexcept;

// True for an empty span too.
[[nodiscard]] inline bool is_zero(std::span<const std::byte> bytes) noexcept {
  return zero_prefix(bytes) == bytes.size();
}

// A part of a buffer, in bytes from the buffer's start.
struct Run {
  std::size_t offset = 0;
  std::size_t length = 0;
  bool zero = false;

  friend constexpr bool operator==(const Run&, const Run&) = default;
};

// The runs of one buffer, in order, covering it exactly; neighbours differ in `zero`.
//
// A zero run covers whole grains, counted from the buffer's start; zeros that do not fill a
// grain belong to the data around them. The last grain may be partial.
class ZeroRuns {
 public:
  class Iterator;

  // `grain` is a power of two, 512 or more.
  ZeroRuns(std::span<const std::byte> bytes, std::size_t grain) noexcept;

  [[nodiscard]] Iterator begin() const noexcept;
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

 private:
  std::span<const std::byte> bytes_;
  std::size_t grain_;
};

class ZeroRuns::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = Run;
  using difference_type = std::ptrdiff_t;

  explicit Iterator(const ZeroRuns& runs) noexcept : runs_(runs) { ++*this; }

  [[nodiscard]] const Run& operator*() const noexcept { return run_; }
  [[nodiscard]] const Run* operator->() const noexcept { return &run_; }
  Iterator& operator++() noexcept;
  void operator++(int) noexcept { ++*this; }
  friend bool operator==(const Iterator& it, std::default_sentinel_t) noexcept {
    return it.run_.length == 0;
  }

 private:
  [[nodiscard]] std::size_t zeros_end(std::size_t begin) const noexcept;

  ZeroRuns runs_;
  Run run_;
  // End of the zeros that stopped the last data run, so that no byte of them is read twice.
  std::size_t seen_zeros_end_ = 0;
};

[[nodiscard]] inline ZeroRuns zero_runs(std::span<const std::byte> bytes,
                                        std::size_t grain) noexcept {
  return {bytes, grain};
}

// One way to compute zero_prefix.
struct ZeroScanner {
  std::string_view name;
  std::size_t (*zero_prefix)(std::span<const std::byte>) noexcept;
};

// Those that run on this CPU, the fastest first; it is the one zero_prefix() uses.
[[nodiscard]] std::span<const ZeroScanner> zero_scanners() noexcept;

}  // namespace io
