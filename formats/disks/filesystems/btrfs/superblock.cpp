#include "formats/disks/filesystems/btrfs/superblock.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/uuid_text.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

// Offsets in the superblock.
enum Field : std::size_t {
  at_uuid = 0x20,
  at_own_offset = 0x30,
  at_flags = 0x38,
  at_magic = 0x40,
  at_generation = 0x48,
  at_root = 0x50,
  at_chunk_root = 0x58,
  at_log_root = 0x60,
  at_bytes_used = 0x78,
  at_devices = 0x88,
  at_sector_size = 0x90,
  at_node_size = 0x94,
  at_system_chunks_size = 0xa0,
  at_chunk_generation = 0xa4,
  at_compat = 0xac,
  at_ro_compat = 0xb4,
  at_incompat = 0xbc,
  at_checksum_type = 0xc4,
  at_root_level = 0xc6,
  at_chunk_level = 0xc7,
  at_log_level = 0xc8,
  at_device = 0xc9,
  at_device_size = 0xd1,
  at_device_used = 0xd9,
  at_device_uuid = 0x10b,
  at_device_owner = 0x11b,
  at_label = 0x12b,
  at_metadata_uuid = 0x23b,
  at_system_chunks = 0x32b,
};

constexpr std::size_t most_system_chunks = 2048;  // bytes
constexpr std::size_t label_size = 256;
constexpr std::uint64_t root_tree = 1;
constexpr std::uint64_t chunk_tree = 3;
constexpr std::uint64_t log_tree = ~std::uint64_t{5};  // -6

enum Flags : std::uint64_t {
  written = 0x1,
  relocated = 0x2,
  in_error = 0x4,
};

// The free space tree, that it is valid, verity, and a tree for the block groups.
constexpr std::uint64_t group_tree_feature = 0x8;
constexpr std::uint64_t known_ro_compat = 0x1 | 0x2 | 0x4 | group_tree_feature;

enum Incompatible : std::uint64_t {
  separate_metadata_uuid = 0x400,
  // Bits 0 to 9: mixed back references, default subvolume, mixed groups, two compressions, big
  // metadata, extended references, RAID 5 and 6 (judged chunk by chunk), skinny metadata, no
  // holes. Bit 16: simple quotas. None of them changes where extents are listed.
  known_incompat = 0x3ff | separate_metadata_uuid | 0x10000,
};

[[noreturn]] void damaged(std::string_view what) {
  throw Doubt(Reason::damaged, fmt::format("its superblock is damaged: {}", what),
              std::string(repair));
}

void check(bool holds, std::string_view what) {
  if (!holds) damaged(what);
}

template <std::unsigned_integral T>
T get(Bytes bytes, Field field) {
  return load_little_endian<T>(bytes, field);
}

void check_known(std::uint64_t bits, std::uint64_t known, std::string_view word) {
  if ((bits & ~known) == 0) return;
  throw Doubt(
      Reason::unsupported,
      fmt::format("it uses features that are not known here ({} {:#x})", word, bits & ~known));
}

void check_features(Bytes bytes) {
  const auto flags = get<std::uint64_t>(bytes, at_flags);
  if ((flags & in_error) != 0)
    throw Doubt(Reason::damaged, "it is marked as damaged", std::string(repair));
  check_known(flags, written | relocated, "flags");
  check_known(get<std::uint64_t>(bytes, at_incompat), known_incompat, "incompat");
  check_known(get<std::uint64_t>(bytes, at_ro_compat), known_ro_compat, "ro_compat");
  check_known(get<std::uint64_t>(bytes, at_compat), 0, "compat");
  check(get<std::uint64_t>(bytes, at_devices) > 0, "no devices");
}

ChecksumKind checked_kind(Bytes bytes) {
  const auto type = get<std::uint16_t>(bytes, at_checksum_type);
  check(type <= static_cast<std::uint16_t>(ChecksumKind::blake2b), "kind of checksum");
  const auto kind = static_cast<ChecksumKind>(type);
  check(has_right_checksum(bytes, kind), "wrong checksum");
  return kind;
}

void read_sizes(Bytes bytes, Superblock& super, std::uint64_t volume) {
  super.sector_size = get<std::uint32_t>(bytes, at_sector_size);
  super.node_size = get<std::uint32_t>(bytes, at_node_size);
  check(std::has_single_bit(super.sector_size) && super.sector_size >= 512 &&
            super.sector_size <= 65536,
        "sector size");
  check(std::has_single_bit(super.node_size) && super.node_size >= 4096 &&
            super.node_size >= super.sector_size && super.node_size <= 65536,
        "node size");
  super.bytes_used = get<std::uint64_t>(bytes, at_bytes_used);
  super.device_size = get<std::uint64_t>(bytes, at_device_size);
  super.device_used = get<std::uint64_t>(bytes, at_device_used);
  check(super.device_used <= super.device_size, "more used than there is");
  if (super.device_size > volume) {
    throw Doubt(Reason::cut_off,
                "it is longer than its volume: it was cut off, or is a part of a RAID",
                "take the image from the assembled RAID, or from the whole disk");
  }
}

Uuid uuid_at(Bytes bytes, Field field) {
  Uuid uuid;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(field), uuid.size(), uuid.begin());
  return uuid;
}

void read_roots(Bytes bytes, Superblock& super) {
  super.root_tree = {.address = get<std::uint64_t>(bytes, at_root),
                     .generation = get<std::uint64_t>(bytes, at_generation),
                     .level = get<std::uint8_t>(bytes, at_root_level),
                     .owner = root_tree};
  super.chunk_tree = {.address = get<std::uint64_t>(bytes, at_chunk_root),
                      .generation = get<std::uint64_t>(bytes, at_chunk_generation),
                      .level = get<std::uint8_t>(bytes, at_chunk_level),
                      .owner = chunk_tree};
  // The transaction that it is part of was not committed, and so the superblock is of the last.
  if (const auto address = get<std::uint64_t>(bytes, at_log_root); address != 0) {
    super.log_tree = {.address = address,
                      .generation = get<std::uint64_t>(bytes, at_generation) + 1,
                      .level = get<std::uint8_t>(bytes, at_log_level),
                      .owner = log_tree};
  }
  const auto size = get<std::uint32_t>(bytes, at_system_chunks_size);
  check(size <= most_system_chunks, "size of the system chunks");
  const Bytes chunks = bytes.subspan(at_system_chunks, size);
  super.system_chunks.assign(chunks.begin(), chunks.end());
}

}  // namespace

bool has_magic(Bytes bytes) {
  return get<std::uint64_t>(bytes, at_magic) == 0x4d5f53665248425f;  // "_BHRfS_M"
}

std::string label_of(Bytes bytes) { return text_up_to_zero(bytes.subspan(at_label, label_size)); }

std::uint64_t claimed_size(Bytes bytes) { return get<std::uint64_t>(bytes, at_device_size); }

Superblock parse_superblock(Bytes bytes, std::uint64_t volume) {
  const ChecksumKind checksum = checked_kind(bytes);
  check(get<std::uint64_t>(bytes, at_own_offset) == superblock_offset, "it is of another place");
  check_features(bytes);

  Superblock super;
  super.checksum = checksum;
  super.has_group_tree = (get<std::uint64_t>(bytes, at_ro_compat) & group_tree_feature) != 0;
  const bool is_separate = (get<std::uint64_t>(bytes, at_incompat) & separate_metadata_uuid) != 0;
  super.metadata_uuid = uuid_at(bytes, is_separate ? at_metadata_uuid : at_uuid);
  super.devices = get<std::uint64_t>(bytes, at_devices);
  super.device = get<std::uint64_t>(bytes, at_device);
  super.device_uuid = uuid_at(bytes, at_device_uuid);
  check(equals(bytes.subspan(at_device_owner, 16), super.metadata_uuid),
        "its device is of another file system");
  read_sizes(bytes, super, volume);
  read_roots(bytes, super);
  return super;
}

bool equals(Bytes bytes, const Uuid& uuid) {
  return std::equal(bytes.begin(), bytes.end(), uuid.begin(), uuid.end());
}

}  // namespace formats::filesystems::btrfs
