#include "formats/disks/filesystems/fat.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/fat/boot_sector.hpp"
#include "formats/disks/filesystems/fat/clusters.hpp"
#include "formats/disks/filesystems/fat/remedy.hpp"
#include "formats/disks/filesystems/fat/table.hpp"

namespace formats::filesystems {
namespace {

using fat::BootSector;
using fat::Width;

// A disk that BitLocker encrypted for use elsewhere looks like FAT32 outside: this GUID, in the
// boot sector at 424, tells it apart. It is not ours then.
constexpr std::array<unsigned char, 16> bitlocker_to_go = {
    0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01};

bool is_bitlocker(std::span<const std::byte> sector) {
  const auto guid = sector.subspan(424, bitlocker_to_go.size());
  return std::equal(guid.begin(), guid.end(), std::as_bytes(std::span(bitlocker_to_go)).begin());
}

void check_boot_sector(const BootSector& boot, const DiskView& volume) {
  if (boot.dirty) {
    throw Doubt(Reason::in_use, "is in use, or was not unmounted (its dirty mark is set)",
                fat::remedy_unmount);
  }
  if (boot.wants_surface_test) {
    throw Doubt(Reason::damaged, "its last user asked for a test of the medium",
                "run chkdsk /r in Windows");
  }
  if (boot.version != 0) {
    throw Doubt(Reason::unsupported, fmt::format("FAT32 of the unknown version {}.{}",
                                                 boot.version >> 8, boot.version & 0xff));
  }
  if (!volume.holds(0, boot.first_cluster)) {
    throw Doubt(Reason::cut_off, "the disk or partition ends inside its tables",
                "take the image again");
  }
}

// FAT32 keeps a count of its free clusters.
void check_free_count(DiskView& volume, const BootSector& boot, std::uint64_t free) {
  if (!boot.info_sector) return;
  const std::vector<std::byte> info = volume.read(*boot.info_sector, 512);
  if (load_little_endian<std::uint32_t>(info, 0) != 0x41615252 ||
      load_little_endian<std::uint32_t>(info, 484) != 0x61417272 ||
      load_little_endian<std::uint32_t>(info, 508) != 0xaa550000) {
    throw Doubt(Reason::damaged, "its FSInfo sector is damaged", fat::remedy_check);
  }
  const auto count = load_little_endian<std::uint32_t>(info, 488);
  if (count != 0xffffffff && count != free) {
    throw Doubt(Reason::damaged,
                fmt::format("{} clusters are free, but FSInfo counts {}", free, count),
                fat::remedy_check);
  }
}

// The mark of errors in entry 1 of the table; FAT12 has no room for it.
std::string medium_warning(DiskView& volume, const BootSector& boot) {
  if (boot.width == Width::fat12) return "";
  const std::uint32_t no_errors = boot.width == Width::fat16 ? 0x4000 : 0x04000000;
  fat::Table table(volume, boot, boot.only_table.value_or(0));
  if ((table.at(1).value & no_errors) != 0) return "";
  return "its last user met errors of the medium (the table's error mark is set)";
}

// All that a write to the file system changes: at least a table, when it takes a cluster.
std::vector<io::ByteRange> witnesses(const BootSector& boot) {
  return {io::range_between(0, boot.first_table.offset), boot.table(boot.only_table.value_or(0)),
          boot.root};
}

// Fills in what becomes known; the free ranges last.
void examine(DiskView& volume, const BootSector& boot, MapCheck check, FileSystem& found) {
  check_boot_sector(boot, volume);
  found.witnesses = witnesses(boot);
  std::erase_if(found.witnesses, [](const io::ByteRange& range) { return range.empty(); });
  if (check == MapCheck::witnesses_only) return;
  fat::TableScan scan = fat::scan_tables(volume, boot);
  check_free_count(volume, boot, scan.free.count());
  found.label = fat::walk_directories(volume, boot, scan.marks);
  found.warning = medium_warning(volume, boot);
  found.free = std::move(scan.free).take();
}

}  // namespace

std::optional<FileSystem> probe_fat(DiskView& volume, MapCheck check) {
  if (!volume.holds(0, fat::boot_sector_bytes)) return std::nullopt;
  const std::vector<std::byte> sector = volume.read(0, fat::boot_sector_bytes);
  const std::optional<BootSector> boot = fat::parse_boot_sector(sector);
  if (!boot || is_bitlocker(sector)) return std::nullopt;
  FileSystem known;
  known.type = "vfat";
  known.size = boot->size;
  known.block_size = boot->cluster_size;
  known.uuid = boot->uuid;
  // What it means that the end is missing is judged by probe(), which asks all parsers.
  if (volume.size() + io::MiB <= boot->size) return known;
  return mapped(std::move(known), fat::remedy_check,
                [&](FileSystem& found) { examine(volume, *boot, check, found); });
}

}  // namespace formats::filesystems
