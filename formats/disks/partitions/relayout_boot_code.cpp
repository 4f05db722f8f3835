#include "formats/disks/partitions/relayout_boot_code.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

#include "formats/bytes/little_endian.hpp"

namespace formats::partitions {
namespace {

constexpr std::size_t boot_sector_size = 512;

// A sector of GRUB ends with a list of what to load: entries of a first sector, a count and the
// segment to load it to, from the sector's end down, up to one without sectors.
struct Grub {
  std::uint64_t next = 0;       // the sector that the boot sector loads
  std::size_t first_entry = 0;  // of the list in that sector
  std::size_t entry_size = 0;
  bool legacy = false;
};

// Fields of GRUB 2's boot.img and diskboot.img (boot.S, diskboot.S) and of GRUB Legacy's stage1 and
// start.S, which have been where they are in all releases.
std::optional<Grub> find_grub(std::span<const std::byte> sector) {
  if (load_little_endian<std::uint16_t>(sector, 510) != 0xaa55) return std::nullopt;
  constexpr std::string_view name = "GRUB ";
  const auto named = std::search(sector.begin(), sector.end(), name.begin(), name.end(),
                                 [](std::byte a, char b) { return a == std::byte(b); });
  if (named == sector.end()) return std::nullopt;
  if (load_little_endian<std::uint16_t>(sector, 0x5a) == 0x8000) {
    return Grub{load_little_endian<std::uint64_t>(sector, 0x5c), 0x1f4, 12, false};
  }
  const auto stage_at = load_little_endian<std::uint16_t>(sector, 0x42);
  if (sector[0x3e] == std::byte{3} && (stage_at == 0x8000 || stage_at == 0x2000)) {
    return Grub{load_little_endian<std::uint32_t>(sector, 0x44), 0x1f8, 8, true};
  }
  return std::nullopt;
}

class Finder {
 public:
  Finder(DiskView& disk, std::uint64_t sector_size) : disk_(disk), sector_size_(sector_size) {}

  void look_at(std::uint64_t offset) {
    if (!disk_.holds(offset, boot_sector_size)) return;
    const auto sector = disk_.read(offset, boot_sector_size);
    const std::string_view text(reinterpret_cast<const char*>(sector.data()), sector.size());
    if (text.substr(6, 4) == "LILO") found_.lilo = true;
    const auto maker = text.substr(3, 8);
    if (maker == "SYSLINUX" || maker == "EXTLINUX") found_.syslinux.push_back(offset);
    if (const auto grub = find_grub(sector)) follow(*grub);
  }

  BootCode take() { return std::move(found_); }

 private:
  [[nodiscard]] bool on_disk(std::uint64_t first, std::uint64_t count) const {
    const std::uint64_t sectors = disk_.size() / sector_size_;
    return first < sectors && count <= sectors - first;
  }

  // Nothing of it counts unless the list is one: boot sectors outlive what they loaded.
  void follow(const Grub& grub) {
    if (!on_disk(grub.next, 1)) return;
    const auto sector = disk_.read(grub.next * sector_size_, boot_sector_size);
    std::vector<io::ByteRange> loaded{{grub.next * sector_size_, sector_size_}};
    for (std::size_t at = grub.first_entry; at >= grub.entry_size; at -= grub.entry_size) {
      const std::size_t behind = at + (grub.legacy ? 4 : 8);
      const std::uint64_t first = grub.legacy ? load_little_endian<std::uint32_t>(sector, at)
                                              : load_little_endian<std::uint64_t>(sector, at);
      const std::uint64_t count = load_little_endian<std::uint16_t>(sector, behind);
      const auto segment = load_little_endian<std::uint16_t>(sector, behind + 2);
      if (count == 0) break;
      if (at == grub.first_entry && segment != 0x820 && segment != 0x220) return;
      if (!on_disk(first, count)) return;
      loaded.push_back({first * sector_size_, count * sector_size_});
    }
    if (loaded.size() == 1) return;
    found_.addressed.insert(found_.addressed.end(), loaded.begin(), loaded.end());
  }

  DiskView& disk_;
  std::uint64_t sector_size_;
  BootCode found_;
};

// In front of what a file system has: boot loaders lie there by right, and it is never moved.
std::uint64_t reserved_by(std::string_view type) {
  return type == "btrfs" ? io::MiB : 2 * boot_sector_size;
}

}  // namespace

BootCode find_boot_code(DiskView& disk, const Layout& layout) {
  Finder finder(disk, layout.sector_size);
  finder.look_at(0);
  for (const Partition& partition : layout.partitions) finder.look_at(partition.range.offset);
  return finder.take();
}

std::string why_blocks_stay(const BootCode& code, io::ByteRange place, std::string_view type) {
  // Windows' and FAT's own boot loaders find their files by name.
  if (type == "ntfs" || type == "swap" || type == "vfat") return "";
  if (code.lilo) return "LILO finds its files by their places on the disk";
  if (std::find(code.syslinux.begin(), code.syslinux.end(), place.offset) != code.syslinux.end()) {
    return "EXTLINUX in it finds its own file by its place";
  }
  const auto begin = place.offset + std::min(reserved_by(type), place.length);
  const io::ByteRange content = io::range_between(begin, place.end());
  const bool addressed = std::any_of(
      code.addressed.begin(), code.addressed.end(),
      [&](const io::ByteRange& range) { return !io::intersection(range, content).empty(); });
  return addressed ? "GRUB reads a file in it by its place" : "";
}

}  // namespace formats::partitions
