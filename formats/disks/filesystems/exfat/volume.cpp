#include "formats/disks/filesystems/exfat/volume.hpp"

#include <algorithm>
#include <bit>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::exfat {
namespace {

constexpr std::size_t checked_sectors = 11;  // the next one repeats their checksum

[[noreturn]] void damaged() {
  throw Doubt(Reason::damaged, "its boot sector is damaged", remedy_check);
}

// Bytes 106, 107 and 112 change while it is mounted.
std::uint32_t checksum(std::span<const std::byte> sectors) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < sectors.size(); ++i) {
    if (i == 106 || i == 107 || i == 112) continue;
    sum = std::rotr(sum, 1) + std::to_integer<std::uint32_t>(sectors[i]);
  }
  return sum;
}

void check_checksum(DiskView& view, std::uint32_t sector_size) {
  const std::size_t length = checked_sectors * sector_size;
  if (!view.holds(0, length + sector_size)) damaged();
  const std::vector<std::byte> region = view.read(0, length + sector_size);
  const std::uint32_t sum = checksum(std::span(region).first(length));
  for (std::size_t at = length; at < region.size(); at += 4) {
    if (!checksum_fits(load_little_endian<std::uint32_t>(region, at), sum)) {
      throw Doubt(Reason::damaged, "the checksum of its boot sectors is wrong", remedy_check);
    }
  }
}

void check_version(std::span<const std::byte> sector) {
  const auto revision = load_little_endian<std::uint16_t>(sector, 104);
  const auto flags = load_little_endian<std::uint16_t>(sector, 106);
  const auto tables = std::to_integer<unsigned>(sector[110]);
  if (revision >> 8 != 1) {
    throw Doubt(Reason::unsupported,
                fmt::format("exFAT of the unknown version {}.{}", revision >> 8, revision & 0xff));
  }
  if (tables != 1 || (flags & 1) != 0) {
    throw Doubt(Reason::unsupported,
                "has two allocation tables (TexFAT), which imgtool does not know");
  }
}

void check_state(std::span<const std::byte> sector) {
  const auto flags = load_little_endian<std::uint16_t>(sector, 106);
  if ((flags & 2) != 0) {
    throw Doubt(Reason::in_use, "is in use, or was not unmounted (its dirty mark is set)",
                remedy_unmount);
  }
  if ((flags & 4) != 0) {
    throw Doubt(Reason::damaged, "its last user met errors of the medium",
                "run chkdsk /r in Windows");
  }
}

Volume parse(std::span<const std::byte> sector) {
  const auto u32 = [&](std::size_t at) -> std::uint64_t {
    return load_little_endian<std::uint32_t>(sector, at);
  };
  const auto sector_bits = std::to_integer<unsigned>(sector[108]);
  const auto cluster_bits = std::to_integer<unsigned>(sector[109]);
  const auto sectors = load_little_endian<std::uint64_t>(sector, 72);
  if (sector_bits < 9 || sector_bits > 12 || cluster_bits > 25 - sector_bits) damaged();
  if (sectors == 0 || sectors > (std::uint64_t{1} << 62 >> sector_bits)) damaged();
  const std::uint64_t table_begin = u32(80), table_sectors = u32(84), heap_begin = u32(88);
  const std::uint64_t clusters = u32(92);

  Volume volume;
  volume.sector_size = 1u << sector_bits;
  volume.cluster_size = volume.sector_size << cluster_bits;
  volume.size = sectors << sector_bits;
  volume.table = {table_begin << sector_bits, table_sectors << sector_bits};
  volume.first_cluster = heap_begin << sector_bits;
  volume.clusters = static_cast<std::uint32_t>(clusters);
  volume.root_cluster = static_cast<std::uint32_t>(u32(96));
  const std::uint64_t serial = u32(100);
  if (serial != 0) volume.uuid = fmt::format("{:04X}-{:04X}", serial >> 16, serial & 0xffff);

  if (clusters == 0 || clusters > 0xfffffff5 || !volume.has(volume.root_cluster)) damaged();
  if (table_begin < 24 || volume.table.end() > volume.first_cluster) damaged();
  if (volume.table.length < (clusters + 2) * 4) damaged();
  // At most 2^32 sectors, and 2^32 clusters of 2^25 bytes.
  if (volume.first_cluster + clusters * volume.cluster_size > volume.size) damaged();
  return volume;
}

}  // namespace

bool has_signature(std::span<const std::byte> sector) {
  constexpr std::string_view magic = "EXFAT   ";
  return std::equal(magic.begin(), magic.end(), sector.begin() + 3,
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

std::uint64_t claimed_size(std::span<const std::byte> sector) {
  const auto sector_bits = std::to_integer<unsigned>(sector[108]);
  const auto sectors = load_little_endian<std::uint64_t>(sector, 72);
  if (sector_bits < 9 || sector_bits > 12) return 0;
  return sectors > (std::uint64_t{1} << 62 >> sector_bits) ? 0 : sectors << sector_bits;
}

Volume read_volume(DiskView& view, StateCheck check) {
  const std::vector<std::byte> sector = view.read(0, 512);
  if (load_little_endian<std::uint16_t>(sector, 510) != 0xaa55) damaged();
  Volume volume = parse(sector);
  check_version(sector);
  if (check == StateCheck::clean) check_state(sector);
  volume.dirty = (load_little_endian<std::uint16_t>(sector, 106) & 6) != 0;
  check_checksum(view, volume.sector_size);
  return volume;
}

}  // namespace formats::filesystems::exfat
