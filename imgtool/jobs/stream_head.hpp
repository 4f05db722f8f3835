// The first MiB of a stream, remembered while it passes: a partition table that can be looked at
// when the stream has ended, and its length is known.
#pragma once

#include <string>

#include "io/buffer_pool.hpp"
#include "io/source.hpp"

namespace imgtool {

class StreamHead final : public io::Source {
 public:
  // Shows `stream`, which outlives it.
  explicit StreamHead(io::Source& stream) : stream_(stream), memory_(length) {}

  [[nodiscard]] const std::string& name() const override { return stream_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return stream_.size(); }
  [[nodiscard]] bool seekable() const override { return stream_.seekable(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return stream_.extent_at(offset);
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  // All of the stream's `size` bytes were read: see note_of_truncation().
  [[nodiscard]] std::string note_of_truncation(io::Ring& ring, std::uint64_t size,
                                               const std::string& name) const;

 private:
  static constexpr std::uint64_t length = io::MiB;

  io::Source& stream_;
  io::AlignedMemory memory_;
};

}  // namespace imgtool
