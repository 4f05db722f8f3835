// A source with given extents, whose data is pattern(); it logs what was read of it, and fails
// or ends where it is told to.
#pragma once

#include <algorithm>
#include <cerrno>
#include <vector>

#include "io/error.hpp"
#include "io/source.hpp"
#include "tests/io/pattern.hpp"

namespace io {

class PatternSource : public Source {
 public:
  // `extents` cover [0, size) in order.
  PatternSource(Ring& ring, std::vector<Extent> extents)
      : ring_(ring), extents_(std::move(extents)) {
    for (const Extent& extent : extents_) {
      const auto data = pattern(extent.range);
      const bool stored = extent.kind == ExtentKind::data;
      content_.insert(content_.end(), data.begin(), data.end());
      if (!stored) std::fill(content_.end() - length_of(extent), content_.end(), std::byte{0});
    }
  }
  PatternSource(Ring& ring, std::uint64_t size)
      : PatternSource(ring, {Extent{{0, size}, ExtentKind::data}}) {}

  // --- what it is told to do ---
  void store_zeros(ByteRange range) { fill(range, std::byte{0}); }
  // What `range` holds stands at `to` as well.
  void store_again(ByteRange range, std::uint64_t to) {
    std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length,
                content_.begin() + static_cast<std::ptrdiff_t>(to));
  }
  void corrupt(std::uint64_t offset) { content_[offset] ^= std::byte{0xff}; }
  // Any read that touches one of these fails with `error_number`.
  void fail_at(ByteRange range, int error_number = EIO) {
    bad_.push_back(range);
    error_number_ = error_number;
  }
  void repair() { bad_.clear(); }
  // Its holes are stored, as on a disk that knows none.
  void be_data() { extents_ = {Extent{{0, content_.size()}, ExtentKind::data}}; }
  // A stream says where it ends only once a read met the end.
  void be_a_stream() { stream_ = true; }
  void take(std::chrono::milliseconds delay) { delay_ = delay; }

  // --- what was done ---
  [[nodiscard]] const std::vector<ByteRange>& reads() const { return reads_; }
  [[nodiscard]] std::vector<ByteRange> sorted_reads() const {
    auto sorted = reads_;
    std::sort(sorted.begin(), sorted.end(),
              [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
    return sorted;
  }
  // What a copy of it must hold.
  [[nodiscard]] const std::vector<std::byte>& content() const { return content_; }

  // --- Source ---
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override {
    return !stream_ || ended_ ? std::optional(content_.size()) : std::nullopt;
  }
  [[nodiscard]] bool seekable() const override { return !stream_; }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override {
    if (stream_) return {range_between(offset, std::uint64_t{1} << 62), ExtentKind::data};
    for (const Extent& extent : extents_) {
      if (extent.range.contains(offset)) {
        return {range_between(offset, extent.range.end()), extent.kind};
      }
    }
    throw std::out_of_range("extent_at behind the end");
  }
  Task<std::size_t> read(ByteRange range, Buffer buffer) override {
    reads_.push_back(range);
    (void)co_await ring_.nop();
    if (delay_.count() > 0) co_await ring_.sleep_until(Ring::Clock::now() + delay_);
    for (const ByteRange& bad : bad_) {
      if (!intersection(bad, range).empty()) {
        throw Error::system("read", name_, error_number_, range);
      }
    }
    const auto begin = std::min<std::uint64_t>(range.offset, content_.size());
    const auto end = std::min<std::uint64_t>(range.end(), content_.size());
    if (end < range.end()) ended_ = true;
    std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(begin), end - begin,
                buffer.bytes.begin());
    co_return end - begin;
  }

 private:
  static std::ptrdiff_t length_of(const Extent& extent) {
    return static_cast<std::ptrdiff_t>(extent.range.length);
  }
  void fill(ByteRange range, std::byte value) {
    std::fill_n(content_.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length, value);
  }

  Ring& ring_;
  std::string name_ = "pattern";
  std::vector<Extent> extents_;
  std::vector<std::byte> content_;
  std::vector<ByteRange> bad_;
  int error_number_ = EIO;
  bool stream_ = false;
  bool ended_ = false;
  std::chrono::milliseconds delay_{0};
  std::vector<ByteRange> reads_;
};

}  // namespace io
