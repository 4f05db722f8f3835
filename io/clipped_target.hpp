// A target that takes the beginning of something larger, and drops the rest: a disk that has
// room for all of an image's partitions, though not for the image.
#pragma once

#include "io/target.hpp"

namespace io {

class ClippedTarget final : public Target {
 public:
  // Takes `size` bytes, of which `target` keeps as many as it can. It outlives the clipping.
  ClippedTarget(Target& target, std::uint64_t size) : target_(target), size_(size) {}

  [[nodiscard]] const std::string& name() const override { return target_.name(); }
  [[nodiscard]] std::uint64_t capacity() const override { return size_; }
  [[nodiscard]] std::uint64_t zero_grain() const override { return target_.zero_grain(); }
  Task<> write(std::uint64_t offset, Buffer buffer) override {
    const ByteRange kept = clip({offset, buffer.bytes.size()});
    if (!kept.empty()) co_await target_.write(offset, buffer.first(kept.length));
  }
  Task<> zero(ByteRange range) override {
    const ByteRange kept = clip(range);
    if (!kept.empty()) co_await target_.zero(kept);
  }
  Task<> flush() override { return target_.flush(); }
  void abandon() override { target_.abandon(); }

 private:
  [[nodiscard]] ByteRange clip(ByteRange range) const {
    return intersection(range, {0, target_.capacity()});
  }

  Target& target_;
  std::uint64_t size_;
};

}  // namespace io
