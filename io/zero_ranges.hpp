// A filter for those who know what of a disk is free: that reads as zeros, and is not read.
#pragma once

#include <vector>

#include "io/source.hpp"

namespace io {

class ZeroRanges final : public Source {
 public:
  // `disk` outlives the filter. `ranges` are ascending, disjoint and not touching. What is read of
  // the disk begins and ends at multiples of `grain` (a multiple of buffer_alignment), as seen
  // from the begin of each read: smaller pieces cost more than they save.
  ZeroRanges(Source& disk, std::vector<ByteRange> ranges, std::uint64_t grain);

  [[nodiscard]] const std::string& name() const override { return disk_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return disk_.size(); }
  [[nodiscard]] bool seekable() const override { return disk_.seekable(); }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override;
  Task<std::size_t> read(ByteRange range, Buffer buffer) override;

 private:
  // The first range that ends behind `offset`.
  [[nodiscard]] std::vector<ByteRange>::const_iterator find(std::uint64_t offset) const;
  [[nodiscard]] std::vector<ByteRange> to_read(ByteRange range) const;

  Source& disk_;
  std::vector<ByteRange> ranges_;
  std::uint64_t grain_;
};

}  // namespace io
