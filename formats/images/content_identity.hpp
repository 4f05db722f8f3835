// A name for a disk's content: what images keep as their UUIDs and content IDs. The same content
// gives the same names, so that the same input gives the same file; other content gives others.
//
// The content is told in pieces of one size, in any order. No protection against a forger, who
// could as well copy the names.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace formats {

// Sixteen bytes, as RFC 9562 lays them out: version 8 (by a method of our own).
using Uuid = std::array<std::byte, 16>;

class ContentIdentity {
 public:
  // Piece `index` of the disk, which is not all zeros, has the digest `digest` (io::xxh3); each is
  // told once.
  void add(std::uint64_t index, std::uint64_t digest);

  // Of a disk of `size` bytes whose pieces were all added. An image that needs several names asks
  // for `number` 0, 1 ...
  [[nodiscard]] Uuid uuid(std::uint64_t size, std::uint32_t number) const;

 private:
  std::uint64_t sum_ = 0;
  std::uint64_t other_sum_ = 0;
};

}  // namespace formats
