#include "formats/disks/filesystems/ntfs/boot_sector.hpp"

#include <algorithm>
#include <bit>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::ntfs {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t{1} << 62;

// Sectors per cluster: from 2^8 on as a power of two, negative.
std::uint64_t sectors_per_cluster(std::span<const std::byte> sector) {
  const auto value = std::to_integer<unsigned>(sector[13]);
  if (value <= 128) return value;
  return value >= 256 - 12 ? std::uint64_t{1} << (256 - value) : 0;
}

// In clusters, or, if negative, as a power of two of bytes.
std::uint64_t record_size(std::span<const std::byte> sector, std::uint64_t cluster_size) {
  const auto value = std::to_integer<unsigned>(sector[64]);
  if (value < 128) return value * cluster_size;
  return value >= 256 - 16 ? std::uint64_t{1} << (256 - value) : 0;
}

bool power_of_two_in(std::uint64_t value, std::uint64_t least, std::uint64_t most) {
  return std::has_single_bit(value) && value >= least && value <= most;
}

[[noreturn]] void damaged_boot_sector() {
  throw Doubt(Reason::damaged, "its boot sector is damaged", remedy_check);
}

}  // namespace

bool has_signature(std::span<const std::byte> sector) {
  constexpr std::string_view magic = "NTFS    ";
  return std::equal(magic.begin(), magic.end(), sector.begin() + 3,
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

std::uint64_t claimed_size(std::span<const std::byte> sector) {
  const std::uint64_t sector_size = load_little_endian<std::uint16_t>(sector, 11);
  const auto sectors = load_little_endian<std::uint64_t>(sector, 40);
  if (!power_of_two_in(sector_size, 256, 4096) || sectors >= most_bytes / sector_size) return 0;
  return (sectors + 1) * sector_size;
}

Geometry parse_boot_sector(std::span<const std::byte> sector) {
  const std::uint64_t sector_size = load_little_endian<std::uint16_t>(sector, 11);
  const std::uint64_t per_cluster = sectors_per_cluster(sector);
  const auto sectors = load_little_endian<std::uint64_t>(sector, 40);
  if (!power_of_two_in(sector_size, 512, 4096) || !std::has_single_bit(per_cluster))
    damaged_boot_sector();
  const std::uint64_t cluster_size = sector_size * per_cluster;
  const std::uint64_t record = record_size(sector, cluster_size);
  if (cluster_size > 2 * io::MiB || !power_of_two_in(record, 512, 64 * io::KiB))
    damaged_boot_sector();

  Geometry geometry;
  geometry.sector_size = static_cast<std::uint32_t>(sector_size);
  geometry.cluster_size = static_cast<std::uint32_t>(cluster_size);
  geometry.record_size = static_cast<std::uint32_t>(record);
  geometry.clusters = sectors / per_cluster;
  geometry.size = claimed_size(sector);
  geometry.mft_cluster = load_little_endian<std::uint64_t>(sector, 48);
  if (geometry.size == 0 || geometry.clusters == 0) damaged_boot_sector();
  if (!geometry.has(geometry.mft_cluster, 1)) damaged_boot_sector();
  const auto serial = load_little_endian<std::uint64_t>(sector, 72);
  if (serial != 0) geometry.uuid = fmt::format("{:016X}", serial);
  return geometry;
}

}  // namespace formats::filesystems::ntfs
