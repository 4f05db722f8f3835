#include <algorithm>
#include <array>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/opaque_kinds.hpp"

namespace formats::filesystems {
namespace {

using namespace std::string_view_literals;

// The same, `distance` bytes in front of the end.
bool ends_with(DiskView& volume, std::uint64_t distance, std::string_view magic) {
  return volume.size() >= distance && has_bytes(volume, volume.size() - distance, magic);
}

// md 0.90 and 1.0 keep their superblock at the end of the member, so that what lies in a mirror
// can be read without md, and looks whole where it is one stripe of many.
bool has_raid_at_end(DiskView& volume) {
  constexpr std::string_view magic = "\xfc\x4e\x2b\xa9"sv;
  constexpr std::string_view big_endian_magic = "\xa9\x2b\x4e\xfc"sv;
  const std::uint64_t old_place = volume.size() < 128 * io::KiB
                                      ? volume.size()
                                      : io::align_down(volume.size(), 64 * io::KiB) - 64 * io::KiB;
  if (has_bytes(volume, old_place, magic) || has_bytes(volume, old_place, big_endian_magic)) {
    return true;
  }
  const std::uint64_t sectors = volume.size() / 512;
  return sectors >= 24 && has_bytes(volume, ((sectors - 16) & ~std::uint64_t{7}) * 512, magic);
}

// Promise's, at one of many distances from the end.
bool has_promise_raid(DiskView& volume) {
  constexpr auto sectors = std::to_array<std::uint64_t>(
      {63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 951, 3087});
  return std::any_of(sectors.begin(), sectors.end(), [&](std::uint64_t distance) {
    return ends_with(volume, distance * 512, "Promise Technology, Inc.");
  });
}

bool has_adaptec_raid(DiskView& volume) {
  return ends_with(volume, 512, "\x37\xfc\x4d\x1e"sv) && ends_with(volume, 256, "DPTM");
}

bool has_highpoint_raid(DiskView& volume) {
  constexpr std::uint64_t superblock = 9 * 512 + 32;  // of 37x, at the beginning
  return has_bytes(volume, superblock, "\xf0\x16\x78\x5a"sv) ||
         has_bytes(volume, superblock, "\xfd\x16\x78\x5a"sv) ||
         ends_with(volume, std::uint64_t{11} * 512, "\xf3\x16\x78\x5a"sv) ||
         ends_with(volume, std::uint64_t{11} * 512, "\xfd\x16\x78\x5a"sv);
}

std::vector<std::byte> last_sector(DiskView& volume) {
  const std::uint64_t sectors = volume.size() / 512;
  return sectors > 128 ? volume.read((sectors - 1) * 512, 512) : std::vector<std::byte>(512);
}

// Magic numbers that are found elsewhere, too, are believed with their checksums only.
bool has_silicon_raid(DiskView& volume) {
  constexpr std::uint32_t magic = 0x2f000000;
  constexpr std::size_t checksum_at = 0x13e;
  const auto sector = last_sector(volume);
  if (load_little_endian<std::uint32_t>(sector, 0x60) != magic) return false;
  unsigned sum = 0;
  for (std::size_t at = 0; at <= checksum_at; at += 2) {
    sum += load_little_endian<std::uint16_t>(sector, at);
  }
  return (sum & 0xffff) == 0;
}

bool has_via_raid(DiskView& volume) {
  const auto sector = last_sector(volume);
  if (load_little_endian<std::uint16_t>(sector, 0) != 0xaa55) return false;
  unsigned sum = 0;
  for (std::size_t at = 0; at < 50; ++at) sum += std::to_integer<unsigned>(sector[at]);
  return std::to_integer<unsigned>(sector[2]) <= 2 &&
         (sum & 0xff) == std::to_integer<unsigned>(sector[50]);
}

// RAIDs of mainboards and cheap controllers.
bool has_firmware_raid(DiskView& volume) {
  return ends_with(volume, 1024, "Intel Raid ISM Cfg Sig. ") ||
         ends_with(volume, 512, "\xde\x11\xde\x11"sv) ||
         ends_with(volume, std::uint64_t{257} * 512, "\xde\x11\xde\x11"sv) ||
         ends_with(volume, 1024, "NVIDIA  ") || ends_with(volume, 512, "$XIDE$") ||
         ends_with(volume, 512, "JM") || has_promise_raid(volume) || has_adaptec_raid(volume) ||
         has_highpoint_raid(volume) || has_silicon_raid(volume) || has_via_raid(volume);
}

bool has_drbd(DiskView& volume) {
  if (volume.size() < 8192) return false;
  const auto block = volume.read(io::align_down(volume.size(), 4096) - 4096, 256);
  for (std::size_t at = 0; at < block.size(); at += 4) {
    const auto word = load_big_endian<std::uint32_t>(block, at);
    if (word >= 0x8374026b && word <= 0x8374026d) return true;
  }
  return false;
}

// Four labels, two at each end; the second half of each is a ring of uberblocks.
bool has_zfs_label(DiskView& volume, std::uint64_t label) {
  constexpr std::size_t ring_size = 128 * io::KiB;
  if (!volume.holds(label + ring_size, ring_size)) return false;
  const auto ring = volume.read(label + ring_size, ring_size);
  for (std::size_t at = 0; at < ring.size(); at += io::KiB) {
    constexpr std::uint64_t magic = 0x00bab10c;
    if (load_little_endian<std::uint64_t>(ring, at) == magic ||
        load_big_endian<std::uint64_t>(ring, at) == magic) {
      return true;
    }
  }
  return false;
}

bool has_zfs(DiskView& volume) {
  constexpr std::uint64_t label_size = 256 * io::KiB;
  if (has_zfs_label(volume, 0)) return true;
  const std::uint64_t end = io::align_down(volume.size(), label_size);
  return end >= 4 * label_size && has_zfs_label(volume, end - 2 * label_size);
}

}  // namespace

void find_members(DiskView& volume, OpaqueTypes& types) {
  if (has_raid_at_end(volume)) types.insert(linux_raid);
  if (has_firmware_raid(volume)) types.insert(firmware_raid);
  if (has_drbd(volume)) types.insert("drbd");
  if (has_zfs(volume)) types.insert("zfs_member");
}

}  // namespace formats::filesystems
