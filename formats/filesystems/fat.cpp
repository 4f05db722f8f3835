#include "formats/filesystems/fat.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/filesystems/doubt.hpp"
#include "formats/filesystems/fat/boot_sector.hpp"
#include "formats/filesystems/fat/clusters.hpp"
#include "formats/filesystems/fat/remedy.hpp"
#include "formats/filesystems/fat/table.hpp"
#include "formats/little_endian.hpp"

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

void check_boot_sector(const BootSector& boot, const DiskView& container) {
  if (boot.dirty) {
    throw Doubt{"is in use, or was not unmounted (its dirty mark is set)", fat::remedy_unmount};
  }
  if (boot.wants_surface_test) {
    throw Doubt{"its last user asked for a test of the medium", "run chkdsk /r in Windows"};
  }
  if (boot.version != 0) {
    throw Doubt{
        fmt::format("FAT32 of the unknown version {}.{}", boot.version >> 8, boot.version & 0xff),
        ""};
  }
  if (!container.holds(0, boot.first_cluster)) {
    throw Doubt{"the disk or partition ends inside its tables", "take the image again"};
  }
}

// FAT32 keeps a count of its free clusters.
void check_free_count(DiskView& container, const BootSector& boot, std::uint64_t free) {
  if (!boot.info_sector) return;
  const std::vector<std::byte> info = container.read(*boot.info_sector, 512);
  if (load_little_endian<std::uint32_t>(info, 0) != 0x41615252 ||
      load_little_endian<std::uint32_t>(info, 484) != 0x61417272 ||
      load_little_endian<std::uint32_t>(info, 508) != 0xaa550000) {
    throw Doubt{"its FSInfo sector is damaged", fat::remedy_check};
  }
  const auto count = load_little_endian<std::uint32_t>(info, 488);
  if (count != 0xffffffff && count != free) {
    throw Doubt{fmt::format("{} clusters are free, but FSInfo counts {}", free, count),
                fat::remedy_check};
  }
}

// The mark of errors in entry 1 of the table; FAT12 has no room for it.
std::string medium_warning(DiskView& container, const BootSector& boot) {
  if (boot.width == Width::fat12) return "";
  const std::uint32_t no_errors = boot.width == Width::fat16 ? 0x4000 : 0x04000000;
  fat::Table table(container, boot, boot.only_table.value_or(0));
  if ((table.at(1).value & no_errors) != 0) return "";
  return "its last user met errors of the medium (the table's error mark is set)";
}

// All that a write to the file system changes: at least a table, when it takes a cluster.
std::vector<io::ByteRange> witnesses(const BootSector& boot) {
  return {io::range_between(0, boot.first_table.offset), boot.table(boot.only_table.value_or(0)),
          boot.root};
}

// Fills in what becomes known; the free ranges last.
void examine(DiskView& container, const BootSector& boot, FileSystem& found) {
  check_boot_sector(boot, container);
  fat::TableScan scan = fat::scan_tables(container, boot);
  check_free_count(container, boot, scan.free.count());
  found.label = fat::walk_directories(container, boot, scan.marks);
  found.warning = medium_warning(container, boot);
  found.witnesses = witnesses(boot);
  std::erase_if(found.witnesses, [](const io::ByteRange& range) { return range.empty(); });
  found.free = std::move(scan.free).take();
}

}  // namespace

std::optional<FileSystem> probe_fat(DiskView& container) {
  if (!container.holds(0, fat::boot_sector_bytes)) return std::nullopt;
  const std::vector<std::byte> sector = container.read(0, fat::boot_sector_bytes);
  const std::optional<BootSector> boot = fat::parse_boot_sector(sector);
  if (!boot || is_bitlocker(sector)) return std::nullopt;
  FileSystem found;
  found.type = "vfat";
  found.size = boot->size;
  found.block_size = boot->cluster_size;
  found.uuid = boot->uuid;
  // Whoever asks all parsers knows what it means that the end is missing.
  if (container.size() + io::MiB <= boot->size) return found;
  try {
    examine(container, *boot, found);
  } catch (const Doubt& doubt) {
    found.free.clear();
    found.kept_because = doubt.because;
    found.remedy = doubt.remedy;
  }
  return found;
}

}  // namespace formats::filesystems
