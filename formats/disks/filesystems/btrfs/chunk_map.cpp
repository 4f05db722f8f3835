#include "formats/disks/filesystems/btrfs/chunk_map.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/btrfs/tree.hpp"
#include "formats/disks/filesystems/btrfs/words.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t content_types = 0x7;  // data, system, metadata
constexpr std::uint64_t duplicated = 0x20;

void check_chunk(bool holds, std::string_view what) {
  if (holds) return;
  throw Doubt(Reason::damaged, fmt::format("its chunks are damaged: {}", what),
              std::string(repair));
}

std::uint64_t parse_place(Bytes stripe, const Chunk& chunk, const Superblock& super) {
  const std::uint64_t place = u64(stripe, 8);
  check_chunk(u64(stripe, 0) == super.device && equals(stripe.subspan(16, 16), super.device_uuid),
              "one of another device");
  check_chunk(place % super.sector_size == 0 && place <= super.device_size &&
                  chunk.length <= super.device_size - place,
              "one beyond the device's end");
  return place;
}

}  // namespace

Chunk parse_chunk(std::uint64_t address, Bytes item, const Superblock& super) {
  check_chunk(item.size() >= chunk_header_size + stripe_size, "a short one");
  Chunk chunk;
  chunk.address = address;
  chunk.length = u64(item, 0);
  chunk.type = u64(item, 24);
  chunk.copies = load_little_endian<std::uint16_t>(item, 44);
  if ((chunk.type & ~(content_types | duplicated)) != 0) {
    throw Doubt(Reason::unsupported,
                fmt::format("it spreads data in ways that are not known here (chunk type {:#x})",
                            chunk.type));
  }
  check_chunk((chunk.type & content_types) != 0, "one without a type");
  check_chunk(chunk.copies == ((chunk.type & duplicated) != 0 ? 2 : 1), "number of copies");
  check_chunk(item.size() == chunk_header_size + chunk.copies * stripe_size, "size of one");
  check_chunk(chunk.length > 0 && chunk.length % super.sector_size == 0 &&
                  address % super.sector_size == 0 && address + chunk.length > address,
              "place or length of one");
  for (std::uint32_t i = 0; i < chunk.copies; ++i) {
    chunk.places[i] =
        parse_place(item.subspan(chunk_header_size + i * stripe_size, stripe_size), chunk, super);
  }
  return chunk;
}

std::vector<Chunk> parse_system_chunks(const Superblock& super) {
  std::vector<Chunk> chunks;
  for (Bytes left = super.system_chunks; !left.empty();) {
    check_chunk(left.size() >= key_size + chunk_header_size, "those in the superblock");
    const Key key = parse_key(left);
    check_chunk(key.type == chunk_item, "those in the superblock");
    left = left.subspan(key_size);
    const std::size_t size =
        chunk_header_size + stripe_size * load_little_endian<std::uint16_t>(left, 44);
    check_chunk(size <= left.size(), "those in the superblock");
    chunks.push_back(parse_chunk(key.offset, left.first(size), super));
    left = left.subspan(size);
  }
  return chunks;
}

ChunkMap::ChunkMap(std::vector<Chunk> chunks) : chunks_(std::move(chunks)) {
  std::sort(chunks_.begin(), chunks_.end(),
            [](const Chunk& a, const Chunk& b) { return a.address < b.address; });
  std::uint64_t end = 0;
  on_device_.reserve(2 * chunks_.size());
  for (const Chunk& chunk : chunks_) {
    check_chunk(chunk.address >= end, "two at one address");
    end = chunk.end();
    for (std::uint32_t i = 0; i < chunk.copies; ++i) on_device_.push_back(chunk.copy(i));
  }
  std::sort(on_device_.begin(), on_device_.end(),
            [](io::ByteRange a, io::ByteRange b) { return a.offset < b.offset; });
  end = 0;
  for (const io::ByteRange range : on_device_) {
    check_chunk(range.offset >= end, "two at one place");
    end = range.end();
  }
}

const Chunk* ChunkMap::find(std::uint64_t address, std::uint64_t length) const {
  const auto next = std::upper_bound(
      chunks_.begin(), chunks_.end(), address,
      [](std::uint64_t wanted, const Chunk& chunk) { return wanted < chunk.address; });
  if (next == chunks_.begin()) return nullptr;
  const Chunk& chunk = *std::prev(next);
  if (address >= chunk.end() || length > chunk.end() - address) return nullptr;
  return &chunk;
}

}  // namespace formats::filesystems::btrfs
