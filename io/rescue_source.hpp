// A source that goes on where a disk cannot be read: smaller and smaller reads find out which
// sectors are lost, and those read as zeros.
#pragma once

#include <functional>

#include "io/source.hpp"

namespace io {

class RescueSource final : public Source {
 public:
  // `disk` outlives the source. `sector` is its logical sector in bytes. `on_bad` hears of each
  // lost range once, on the ring's thread, before the read that met it ends.
  RescueSource(Source& disk, std::uint32_t sector, std::function<void(ByteRange)> on_bad);

  [[nodiscard]] const std::string& name() const override { return disk_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return disk_.size(); }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override { return disk_.extent_at(offset); }
  // Throws only what has nothing to do with a bad sector, such as a disk that went away.
  Task<std::size_t> read(ByteRange range, Buffer buffer) override;

 private:
  Task<> read_in_pieces(ByteRange range, Buffer buffer);

  Source& disk_;
  std::uint32_t sector_;
  std::function<void(ByteRange)> on_bad_;
};

}  // namespace io
