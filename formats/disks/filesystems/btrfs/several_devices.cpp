#include "formats/disks/filesystems/btrfs/several_devices.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/btrfs/tree.hpp"
#include "formats/disks/filesystems/btrfs/words.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

// How a chunk is spread, where a stripe is not all of it: bits of its type.
enum Profile : std::uint64_t {
  raid0 = 0x8,
  raid10 = 0x40,
  raid5 = 0x80,
  raid6 = 0x100,
};

constexpr std::uint64_t profile_bits = 0x7f8;  // also RAID 1 of 2, 3 and 4 copies, and DUP

[[noreturn]] void damaged_chunk(std::string_view what) {
  throw Doubt(Reason::damaged, fmt::format("its chunks are damaged: {}", what),
              std::string(repair));
}

// What of a chunk lies on this device.
struct DeviceChunk {
  bool is_mirror = false;  // all of it, in each of its stripes
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  std::vector<io::ByteRange> stripes;
};

std::uint64_t stripe_length(std::uint64_t profile, std::uint64_t length, std::uint64_t stripes,
                            std::uint64_t copies) {
  std::uint64_t parts = 1;
  if (profile == raid0) parts = stripes;
  if (profile == raid10 && copies > 0) parts = stripes / copies;
  if (profile == raid5) parts = stripes > 1 ? stripes - 1 : 0;
  if (profile == raid6) parts = stripes > 2 ? stripes - 2 : 0;
  if (parts == 0 || length % parts != 0) damaged_chunk("number of stripes");
  return length / parts;
}

DeviceChunk parse(std::uint64_t address, Bytes item, const Superblock& super) {
  if (item.size() < chunk_header_size) damaged_chunk("a short one");
  DeviceChunk chunk{.is_mirror = false, .address = address, .length = u64(item, 0), .stripes = {}};
  const std::uint64_t profile = u64(item, 24) & profile_bits;
  const std::size_t stripes = load_little_endian<std::uint16_t>(item, 44);
  const std::size_t copies = load_little_endian<std::uint16_t>(item, 46);
  if (item.size() != chunk_header_size + stripes * stripe_size || stripes == 0) {
    damaged_chunk("size of one");
  }
  if ((u64(item, 24) & ~(profile_bits | 0x7)) != 0 || (profile & (profile - 1)) != 0) {
    throw Doubt(Reason::unsupported, "it spreads data in ways that are not known here");
  }
  const std::uint64_t length = stripe_length(profile, chunk.length, stripes, copies);
  if (length == 0 || length % super.sector_size != 0 || address + chunk.length <= address) {
    damaged_chunk("length of one");
  }
  chunk.is_mirror = profile != raid0 && profile != raid10 && profile != raid5 && profile != raid6;
  for (std::size_t i = 0; i < stripes; ++i) {
    const Bytes stripe = item.subspan(chunk_header_size + i * stripe_size, stripe_size);
    if (u64(stripe, 0) != super.device) continue;
    const io::ByteRange place{u64(stripe, 8), length};
    if (!equals(stripe.subspan(16, 16), super.device_uuid) || place.length > super.device_size ||
        place.offset > super.device_size - place.length) {
      damaged_chunk("one beyond the device's end");
    }
    chunk.stripes.push_back(place);
  }
  return chunk;
}

// The chunks that the superblock names, as far as they can be read here.
ChunkMap readable_system_chunks(const Superblock& super) {
  std::vector<Chunk> chunks;
  for (Bytes left = super.system_chunks; !left.empty();) {
    if (left.size() < key_size + chunk_header_size) damaged_chunk("those in the superblock");
    const Key key = parse_key(left);
    left = left.subspan(key_size);
    const std::size_t size =
        chunk_header_size + stripe_size * load_little_endian<std::uint16_t>(left, 44);
    if (key.type != chunk_item || size > left.size()) damaged_chunk("those in the superblock");
    const DeviceChunk found = parse(key.offset, left.first(size), super);
    left = left.subspan(size);
    if (!found.is_mirror || found.stripes.empty()) continue;
    Chunk chunk{
        .address = found.address, .length = found.length, .type = 0, .copies = 1, .places = {}};
    chunk.places[0] = found.stripes.front().offset;
    chunks.push_back(chunk);
  }
  if (chunks.empty()) {
    throw Doubt(Reason::unsupported,
                fmt::format("it spans {} devices, and this one does not have what tells of all",
                            super.devices));
  }
  return ChunkMap(std::move(chunks));
}

}  // namespace

std::vector<io::ByteRange> find_unallocated(DiskView& volume, const Superblock& super) {
  const ChunkMap system_chunks = readable_system_chunks(super);
  TreeReader reader(volume, super, system_chunks);
  std::vector<io::ByteRange> used;
  std::uint64_t allocated = 0;
  reader.walk(super.chunk_tree, lowest_key, highest_key, [&](const Key& key, Bytes item) {
    if (key.type != chunk_item) return;
    for (const io::ByteRange stripe : parse(key.offset, item, super).stripes) {
      used.push_back(stripe);
      allocated += stripe.length;
    }
  });
  std::sort(used.begin(), used.end(),
            [](io::ByteRange a, io::ByteRange b) { return a.offset < b.offset; });
  std::vector<io::ByteRange> free;
  std::uint64_t position = 0;
  for (const io::ByteRange range : used) {
    if (range.offset < position) damaged_chunk("two at one place");
    free.push_back(io::range_between(position, range.offset));
    position = range.end();
  }
  free.push_back(io::range_between(position, super.device_size));
  if (allocated != super.device_used) {
    damaged_chunk("they are not as long as the superblock says");
  }
  return free;
}

}  // namespace formats::filesystems::btrfs
