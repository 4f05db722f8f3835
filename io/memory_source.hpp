// Bytes in memory as a source: what was read ahead of its turn, such as an image's first MiB.
#pragma once

#include <algorithm>

#include "io/buffer_pool.hpp"
#include "io/source.hpp"

namespace io {

class MemorySource final : public Source {
 public:
  // Shows the first `size` bytes of `memory`.
  MemorySource(std::string name, AlignedMemory memory, std::uint64_t size)
      : name_(std::move(name)), memory_(std::move(memory)), size_(size) {}

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override {
    return {range_between(offset, size_), ExtentKind::data};
  }
  Task<std::size_t> read(ByteRange range, Buffer buffer) override {
    const auto content = bytes().subspan(range.offset, range.length);
    std::copy(content.begin(), content.end(), buffer.bytes.begin());
    co_return range.length;
  }

  [[nodiscard]] std::span<std::byte> bytes() const { return memory_.bytes().first(size_); }

 private:
  std::string name_;
  AlignedMemory memory_;
  std::uint64_t size_;
};

}  // namespace io
