// Where the logical addresses of a btrfs lie on its device.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/disks/filesystems/btrfs/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::btrfs {

// Bytes of a chunk's item: its header, and each of the stripes that follow.
inline constexpr std::size_t chunk_header_size = 48;
inline constexpr std::size_t stripe_size = 32;

// A range of logical addresses that lies on the device in one piece, or in two equal copies.
struct Chunk {
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  std::uint64_t type = 0;
  std::uint32_t copies = 0;
  std::array<std::uint64_t, 2> places{};  // of the copies, in bytes of the device

  [[nodiscard]] std::uint64_t end() const { return address + length; }
  [[nodiscard]] io::ByteRange copy(std::uint32_t index) const { return {places[index], length}; }
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

// Throws Doubt for what is not a chunk on the file system's one device, whole and in the clear.
// `item` is its content.
[[nodiscard]] Chunk parse_chunk(std::uint64_t address, std::span<const std::byte> item,
                                const Superblock& super);

// Those which the superblock names. Throws Doubt.
[[nodiscard]] std::vector<Chunk> parse_system_chunks(const Superblock& super);

class ChunkMap {
 public:
  // In any order. Throws Doubt when they overlap, by address or on the device.
  explicit ChunkMap(std::vector<Chunk> chunks);

  [[nodiscard]] const std::vector<Chunk>& chunks() const { return chunks_; }  // by address
  // The copies of all chunks, as they follow each other on the device.
  [[nodiscard]] const std::vector<io::ByteRange>& on_device() const { return on_device_; }

  // The chunk that has all of `length` bytes from `address` on.
  [[nodiscard]] const Chunk* find(std::uint64_t address, std::uint64_t length) const;

 private:
  std::vector<Chunk> chunks_;
  std::vector<io::ByteRange> on_device_;
};

}  // namespace formats::filesystems::btrfs
