// Some bytes of a source replaced by others: a partition table that fits another disk, over an
// image that stays as it is.
#pragma once

#include <cstddef>
#include <vector>

#include "io/source.hpp"

namespace io {

// Bytes that belong at `offset`.
struct Patch {
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;

  [[nodiscard]] ByteRange range() const noexcept { return {offset, bytes.size()}; }
  friend bool operator==(const Patch&, const Patch&) = default;
};

class OverlaySource final : public Source {
 public:
  // Shows `size` bytes: those of `base`, as far as it goes, then zeros, with `patches` over them.
  // Patches are disjoint, in any order, and inside `size`. A seekable `base` of known size; it
  // outlives the overlay.
  OverlaySource(Source& base, std::vector<Patch> patches, std::uint64_t size);

  [[nodiscard]] const std::string& name() const override { return base_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override;
  Task<std::size_t> read(ByteRange range, Buffer buffer) override;

 private:
  Source& base_;
  std::vector<Patch> patches_;  // ascending
  std::uint64_t size_;
  std::uint64_t base_end_;  // of what is shown of the base
};

}  // namespace io
