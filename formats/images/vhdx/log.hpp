// The log of a VHDX image, replayed in memory: what the image will be once somebody who may write
// to it has replayed it. Nothing is written.
//
// Source: Microsoft [MS-VHDX] 2.3.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "io/byte_range.hpp"
#include "io/file.hpp"

namespace formats::vhdx {

using Guid = std::array<std::byte, 16>;  // as it lies in the file

inline constexpr std::uint64_t log_sector = 4096;

// What has to be seen in place of bytes of the file.
class Patches {
 public:
  struct Patch {
    io::ByteRange range;
    const std::byte* bytes = nullptr;  // null: zeros
  };

  // Later ones cover earlier ones. `bytes` is log_sector long.
  void add_data(std::uint64_t offset, std::span<const std::byte> bytes);
  void add_zeros(io::ByteRange range);
  // The file as the log knows it has at least that many bytes; those behind its end are zeros.
  void grow(std::uint64_t size) { size_ = size > size_ ? size : size_; }

  [[nodiscard]] bool empty() const { return patches_.empty() && size_ == 0; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  // The first patch that ends behind `offset`; its range is empty where there is none.
  [[nodiscard]] Patch next(std::uint64_t offset) const;
  // Puts what is patched over `bytes`, which were read at `offset`.
  void apply(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  using Pages = std::map<std::uint64_t, Patch>;  // by where they begin; none overlap

  void make_room(io::ByteRange range);

  Pages patches_;
  std::vector<std::vector<std::byte>> data_;
  std::uint64_t size_ = 0;
};

// Bytes; writers make logs of 1 MiB.
inline constexpr std::uint64_t longest_log = 16 * io::MiB;

// Reads the log, which lies in `range` of the file, and replays its active sequence. The range is
// of whole MiB, at most longest_log. Throws Error where the log is damaged, or says that the file
// was longer.
[[nodiscard]] Patches replay_log(const io::File& file, io::ByteRange range, const Guid& guid);

}  // namespace formats::vhdx
