#include "imgtool/guest/claimed_size.hpp"

#include <cstring>
#include <string>

#include "formats/big_endian.hpp"
#include "formats/little_endian.hpp"
#include "io/error.hpp"

namespace imgtool::guest {
namespace {

using formats::DiskView;
using formats::load_big_endian;
using formats::load_little_endian;

void expect(DiskView& container, std::span<const std::byte> bytes, std::size_t offset,
            std::string_view magic) {
  if (std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0) return;
  throw io::Error::format(container.name(), container.begin(),
                          "the file system that was here is not here any more");
}

std::uint64_t ext_size(DiskView& container) {
  const auto super = container.read(1024, 1024);
  expect(container, super, 0x38, "\x53\xEF");
  const std::uint64_t low = load_little_endian<std::uint32_t>(super, 4);
  const std::uint64_t high = load_little_endian<std::uint32_t>(super, 0x150);
  const bool wide = (load_little_endian<std::uint32_t>(super, 0x60) & 0x80) != 0;
  const std::uint64_t block_size = 1024ULL << (load_little_endian<std::uint32_t>(super, 0x18) & 15);
  return (wide ? low | high << 32 : low) * block_size;
}

// The backup of the boot sector lies behind what it counts.
std::uint64_t ntfs_size(DiskView& container) {
  const auto boot = container.read(0, 512);
  expect(container, boot, 3, "NTFS    ");
  const std::uint64_t sector = load_little_endian<std::uint16_t>(boot, 0x0B);
  return (load_little_endian<std::uint64_t>(boot, 0x28) + 1) * sector;
}

std::uint64_t btrfs_size(DiskView& container) {
  const auto super = container.read(64 * io::KiB, 4096);
  expect(container, super, 0x40, "_BHRfS_M");
  return load_little_endian<std::uint64_t>(super, 0xC9 + 8);  // of this device
}

std::uint64_t xfs_size(DiskView& container) {
  const auto super = container.read(0, 512);
  expect(container, super, 0, "XFSB");
  return load_big_endian<std::uint64_t>(super, 8) * load_big_endian<std::uint32_t>(super, 4);
}

std::uint64_t fat_size(DiskView& container) {
  const auto boot = container.read(0, 512);
  expect(container, boot, 510, "\x55\xAA");
  const std::uint64_t sector = load_little_endian<std::uint16_t>(boot, 11);
  const std::uint64_t few = load_little_endian<std::uint16_t>(boot, 19);
  return (few != 0 ? few : load_little_endian<std::uint32_t>(boot, 32)) * sector;
}

std::uint64_t swap_size(DiskView& container) {
  const auto header = container.read(0, 64 * io::KiB);
  for (std::uint64_t page = 4 * io::KiB; page <= header.size(); page *= 2) {
    if (std::memcmp(header.data() + page - 10, "SWAPSPACE2", 10) != 0) continue;
    return (std::uint64_t{load_little_endian<std::uint32_t>(header, 1028)} + 1) * page;
  }
  throw io::Error::format(container.name(), container.begin(), "the swap area has no signature");
}

}  // namespace

std::optional<std::uint64_t> claimed_size(DiskView& container, std::string_view type) {
  if (type.starts_with("ext") && type.size() == 4) return ext_size(container);
  if (type == "ntfs") return ntfs_size(container);
  if (type == "btrfs") return btrfs_size(container);
  if (type == "xfs") return xfs_size(container);
  if (type == "vfat") return fat_size(container);
  if (type == "swap") return swap_size(container);
  return std::nullopt;
}

}  // namespace imgtool::guest
