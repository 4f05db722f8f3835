#include "formats/disks/filesystems/claimed_size.hpp"

#include <algorithm>
#include <array>

#include "formats/disks/filesystems/btrfs/superblock.hpp"
#include "formats/disks/filesystems/exfat/volume.hpp"
#include "formats/disks/filesystems/ext/superblock.hpp"
#include "formats/disks/filesystems/f2fs/superblock.hpp"
#include "formats/disks/filesystems/fat/boot_sector.hpp"
#include "formats/disks/filesystems/ntfs/boot_sector.hpp"
#include "formats/disks/filesystems/swap.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"
#include "io/error.hpp"

namespace formats::filesystems {
namespace {

using Bytes = std::span<const std::byte>;

std::uint64_t fat_size(Bytes sector) {
  const auto boot = fat::parse_boot_sector(sector);
  return boot ? boot->size : 0;
}
bool is_fat(Bytes sector) { return fat::parse_boot_sector(sector).has_value(); }
bool is_swap(Bytes start) { return claimed_swap_size(start) != 0; }

// Where a type has its superblock, and who reads it.
struct Reader {
  std::string_view type;
  std::uint64_t offset;
  std::size_t length;
  bool (*is_one)(Bytes);
  std::uint64_t (*size)(Bytes);  // 0: nonsense
};

constexpr auto readers = std::to_array<Reader>({
    {"ext2", ext::superblock_offset, ext::superblock_size, ext::is_superblock, ext::claimed_size},
    {"ext3", ext::superblock_offset, ext::superblock_size, ext::is_superblock, ext::claimed_size},
    {"ext4", ext::superblock_offset, ext::superblock_size, ext::is_superblock, ext::claimed_size},
    {"ntfs", 0, ntfs::boot_sector_bytes, ntfs::has_signature, ntfs::claimed_size},
    {"exfat", 0, 512, exfat::has_signature, exfat::claimed_size},
    {"btrfs", btrfs::superblock_offset, btrfs::superblock_size, btrfs::has_magic,
     btrfs::claimed_size},
    {"f2fs", f2fs::superblock_offset, f2fs::superblock_size, f2fs::has_magic, f2fs::claimed_size},
    {"xfs", 0, 512, xfs::has_magic, xfs::claimed_size},
    {"vfat", 0, fat::boot_sector_bytes, is_fat, fat_size},
    {"swap", 0, swap_header_bytes, is_swap, claimed_swap_size},
});

}  // namespace

std::optional<std::uint64_t> claimed_size(DiskView& volume, std::string_view type) {
  const auto* const reader = std::find_if(readers.begin(), readers.end(),
                                          [&](const Reader& one) { return one.type == type; });
  if (reader == readers.end()) return std::nullopt;
  const auto bytes = volume.read(reader->offset, reader->length);
  const std::uint64_t size = reader->is_one(bytes) ? reader->size(bytes) : 0;
  if (size != 0) return size;
  throw io::Error::format(volume.name(), volume.begin(),
                          "the file system that was here is not here any more");
}

}  // namespace formats::filesystems
