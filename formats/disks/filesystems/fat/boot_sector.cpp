#include "formats/disks/filesystems/fat/boot_sector.hpp"

#include <bit>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"

namespace formats::filesystems::fat {
namespace {

// The fields as they are on the disk.
struct Fields {
  std::uint32_t sector_size, sectors_per_cluster, reserved, tables, root_entries, media;
  std::uint64_t sectors, table_sectors;
  bool fat32;
};

Fields read_fields(std::span<const std::byte> sector) {
  const auto u8 = [&](std::size_t at) { return load_little_endian<std::uint8_t>(sector, at); };
  const auto u16 = [&](std::size_t at) { return load_little_endian<std::uint16_t>(sector, at); };
  const auto u32 = [&](std::size_t at) { return load_little_endian<std::uint32_t>(sector, at); };
  Fields fields{};
  fields.sector_size = u16(11);
  fields.sectors_per_cluster = u8(13);
  fields.reserved = u16(14);
  fields.tables = u8(16);
  fields.root_entries = u16(17);
  fields.sectors = u16(19) != 0 ? u16(19) : u32(32);
  fields.media = u8(21);
  fields.fat32 = u16(22) == 0;
  fields.table_sectors = fields.fat32 ? u32(36) : u16(22);
  return fields;
}

bool plausible(const Fields& fields) {
  return std::has_single_bit(fields.sector_size) && fields.sector_size >= 512 &&
         fields.sector_size <= 4096 && std::has_single_bit(fields.sectors_per_cluster) &&
         fields.reserved > 0 && fields.tables >= 1 && fields.tables <= 4 &&
         (fields.media == 0xf0 || fields.media >= 0xf8) && fields.table_sectors > 0 &&
         fields.sectors > 0 && fields.fat32 == (fields.root_entries == 0);
}

bool has_signatures(std::span<const std::byte> sector) {
  const auto jump = std::to_integer<unsigned>(sector[0]);
  return load_little_endian<std::uint16_t>(sector, 510) == 0xaa55 && (jump == 0xeb || jump == 0xe9);
}

Width width_of(const Fields& fields, std::uint64_t clusters) {
  if (fields.fat32) return Width::fat32;
  return clusters < 4085 ? Width::fat12 : Width::fat16;
}

// Numbers from here on mean "bad" and "end".
std::uint64_t most_clusters(Width width) {
  switch (width) {
    case Width::fat12:
      return 0xff5;
    case Width::fat16:
      return 0xfff5;
    case Width::fat32:
      return 0x0ffffff5;
  }
  return 0;
}

// As blkid prints it; empty where there is none.
std::string serial_number(std::span<const std::byte> sector, bool fat32) {
  const std::size_t at = fat32 ? 0x43 : 0x27;
  const auto extended = std::to_integer<unsigned>(sector[at - 1]);
  const auto number = load_little_endian<std::uint32_t>(sector, at);
  if ((!fat32 && extended != 0x28 && extended != 0x29) || number == 0) return "";
  return fmt::format("{:04X}-{:04X}", number >> 16, number & 0xffff);
}

void read_fat32(std::span<const std::byte> sector, BootSector& boot) {
  const auto flags = load_little_endian<std::uint16_t>(sector, 40);
  if ((flags & 0x80) != 0) boot.only_table = flags & 0xfu;
  boot.version = load_little_endian<std::uint16_t>(sector, 42);
  boot.root_cluster = load_little_endian<std::uint32_t>(sector, 44);
  const auto info = load_little_endian<std::uint16_t>(sector, 48);
  if (info != 0 && info != 0xffff) boot.info_sector = std::uint64_t{info} * boot.sector_size;
}

// Whether everything is inside the file system; clusters are known to be.
bool consistent(const BootSector& boot) {
  const std::uint64_t entries = std::uint64_t{boot.clusters} + 2;
  const auto bits = static_cast<std::uint64_t>(boot.width);
  if (boot.first_table.length * 8 < entries * bits) return false;
  if (boot.only_table && *boot.only_table >= boot.tables) return false;
  if (boot.info_sector && *boot.info_sector >= boot.first_table.offset) return false;
  return boot.width != Width::fat32 || boot.has(boot.root_cluster);
}

}  // namespace

std::optional<BootSector> parse_boot_sector(std::span<const std::byte> sector) {
  if (sector.size() != boot_sector_bytes || !has_signatures(sector)) return std::nullopt;
  const Fields fields = read_fields(sector);
  if (!plausible(fields)) return std::nullopt;

  // None of these is above 2^35.
  const std::uint64_t root_sectors =
      (std::uint64_t{fields.root_entries} * 32 + fields.sector_size - 1) / fields.sector_size;
  const std::uint64_t root_begin = fields.reserved + fields.tables * fields.table_sectors;
  const std::uint64_t data_begin = root_begin + root_sectors;
  if (data_begin >= fields.sectors) return std::nullopt;
  const std::uint64_t clusters = (fields.sectors - data_begin) / fields.sectors_per_cluster;

  BootSector boot;
  boot.width = width_of(fields, clusters);
  if (clusters == 0 || clusters > most_clusters(boot.width)) return std::nullopt;
  boot.sector_size = fields.sector_size;
  boot.cluster_size = fields.sector_size * fields.sectors_per_cluster;
  boot.clusters = static_cast<std::uint32_t>(clusters);
  boot.size = fields.sectors * fields.sector_size;
  boot.first_table = {std::uint64_t{fields.reserved} * fields.sector_size,
                      fields.table_sectors * fields.sector_size};
  boot.tables = fields.tables;
  boot.root = {root_begin * fields.sector_size, std::uint64_t{fields.root_entries} * 32};
  boot.first_cluster = data_begin * fields.sector_size;
  if (fields.fat32) read_fat32(sector, boot);
  const auto state = std::to_integer<unsigned>(sector[fields.fat32 ? 0x41 : 0x25]);
  boot.dirty = (state & 1) != 0;
  boot.wants_surface_test = (state & 2) != 0;
  boot.uuid = serial_number(sector, fields.fat32);
  if (!consistent(boot)) return std::nullopt;
  return boot;
}

}  // namespace formats::filesystems::fat
