// One source up to a place, another from there on.
#pragma once

#include <algorithm>
#include <memory>

#include "io/buffer_pool.hpp"
#include "io/source.hpp"

namespace io {

class SplicedSource final : public Source {
 public:
  // Shows `front` before offset `at`, which it reaches, and `back` behind it. Both are seekable;
  // `back` has a known size, beyond `at`, and outlives this.
  SplicedSource(std::unique_ptr<Source> front, std::uint64_t at, Source& back)
      : front_(std::move(front)), at_(at), back_(back) {}

  [[nodiscard]] const std::string& name() const override { return front_->name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return back_.size(); }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override {
    if (offset >= at_) return back_.extent_at(offset);
    Extent extent = front_->extent_at(offset);
    extent.range = intersection(extent.range, {0, at_});
    return extent;
  }
  Task<std::size_t> read(ByteRange range, Buffer buffer) override {
    const ByteRange before = intersection(range, {0, at_});
    const ByteRange behind = range_between(std::max(range.offset, at_), range.end());
    if (behind.empty()) co_return co_await front_->read(range, buffer);
    if (before.empty()) co_return co_await back_.read(range, buffer);
    (void)co_await front_->read(before, buffer);
    const AlignedMemory memory(behind.length);
    (void)co_await back_.read(behind, memory.buffer());
    std::copy_n(memory.bytes().begin(), behind.length,
                buffer.bytes.begin() + static_cast<std::ptrdiff_t>(before.length));
    co_return range.length;
  }

 private:
  std::unique_ptr<Source> front_;
  std::uint64_t at_;
  Source& back_;
};

}  // namespace io
