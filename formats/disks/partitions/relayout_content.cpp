#include "formats/disks/partitions/relayout_content.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/swap.hpp"

namespace formats::partitions {
namespace {

constexpr std::size_t boot_sector = 512;

namespace at {
constexpr std::size_t bytes_per_sector = 11;
constexpr std::size_t fat16_length = 22;  // of a table, in sectors; 0 in FAT32
constexpr std::size_t hidden_sectors = 28;
constexpr std::size_t ntfs_sectors = 40;
constexpr std::size_t fat32_backup = 50;
}  // namespace at

bool has_text(std::span<const std::byte> bytes, std::size_t offset, std::string_view wanted) {
  return std::equal(wanted.begin(), wanted.end(),
                    bytes.begin() + static_cast<std::ptrdiff_t>(offset),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

bool is_signed(std::span<const std::byte> sector) {
  return load_little_endian<std::uint16_t>(sector, 510) == 0xaa55;
}

// exFAT has no such field there, and its own one is to be ignored by everybody.
bool has_hidden_sectors(std::span<const std::byte> sector) {
  return is_signed(sector) && looks_like_boot_sector(sector) && !has_text(sector, 3, "EXFAT   ");
}

// The same volume: its parameters and its size, without what one of the copies may lack.
bool is_copy(std::span<const std::byte> sector, std::span<const std::byte> copy) {
  const auto same = [&](std::size_t from, std::size_t to) {
    return std::equal(sector.begin() + static_cast<std::ptrdiff_t>(from),
                      sector.begin() + static_cast<std::ptrdiff_t>(to),
                      copy.begin() + static_cast<std::ptrdiff_t>(from));
  };
  return is_signed(copy) && same(3, at::hidden_sectors) && same(32, 64);
}

// Where second copies of it may be, in bytes from the partition's beginning on.
std::vector<std::uint64_t> places_of_copies(std::span<const std::byte> sector,
                                            std::uint64_t length) {
  const std::uint64_t size = load_little_endian<std::uint16_t>(sector, at::bytes_per_sector);
  if (size < boot_sector || size % boot_sector != 0) return {};
  std::vector<std::uint64_t> places;
  if (has_text(sector, 3, "NTFS    ")) {
    const auto sectors = load_little_endian<std::uint64_t>(sector, at::ntfs_sectors);
    if (sectors < length / size) places.push_back(sectors * size);
    const std::uint64_t last = io::align_down(length - 1, size);
    if (places.empty() || places.front() != last) places.push_back(last);
  } else if (load_little_endian<std::uint16_t>(sector, at::fat16_length) == 0) {
    places.push_back(load_little_endian<std::uint16_t>(sector, at::fat32_backup) * size);
  }
  std::erase_if(places, [&](std::uint64_t place) {
    return place < boot_sector || place > length - boot_sector;
  });
  return places;
}

}  // namespace

std::vector<io::Patch> moved_boot_sectors(DiskView& disk, const Placement& placement, bool logical,
                                          std::uint64_t sector_size) {
  const std::uint64_t before = placement.old_start / sector_size;
  const std::uint64_t now = placement.new_start / sector_size;
  if (!placement.moved() || placement.new_length < boot_sector || now > UINT32_MAX) return {};
  const auto read = [&](std::uint64_t place) {
    return disk.read(placement.old_start + place, boot_sector);
  };
  const auto sector = read(0);
  const auto hidden = load_little_endian<std::uint32_t>(sector, at::hidden_sectors);
  const bool right_before = is_signed(sector) && hidden == before;
  // In a logical partition, some count from the sector of its table instead.
  if (!right_before && (logical || !has_hidden_sectors(sector))) return {};

  std::vector<io::Patch> patches;
  const auto put = [&](std::uint64_t place, std::vector<std::byte> bytes) {
    store_little_endian(std::span(bytes), at::hidden_sectors, static_cast<std::uint32_t>(now));
    patches.push_back({placement.new_start + place, std::move(bytes)});
  };
  put(0, sector);
  if (!has_hidden_sectors(sector)) return patches;
  for (const std::uint64_t place : places_of_copies(sector, placement.new_length)) {
    auto copy = read(place);
    if (is_copy(sector, copy)) put(place, std::move(copy));
  }
  return patches;
}

std::optional<io::Patch> swap_header(DiskView& disk, io::ByteRange old, std::uint64_t length,
                                     std::string& problem) {
  constexpr std::size_t last_page_at = 1028, bad_count_at = 1032, bad_pages_at = 1536;
  constexpr std::uint64_t least_pages = 10;  // what mkswap wants
  DiskView area = disk.part(old);
  const auto found = filesystems::probe_swap(area);
  if (!found) {
    problem = "holds no swap area";
  } else if (found->kept_whole()) {
    problem = found->kept_because;
    if (!found->remedy.empty()) problem += "; " + found->remedy;
  } else if (length / found->block_size < least_pages) {
    problem = fmt::format("swap areas have at least {} pages of {} bytes", least_pages,
                          found->block_size);
  }
  if (!problem.empty()) return std::nullopt;

  auto page = area.read(0, found->block_size);
  const std::span<std::byte> bytes = page;
  const auto last = std::min<std::uint64_t>(load_little_endian<std::uint32_t>(page, last_page_at),
                                            length / found->block_size - 1);
  store_little_endian(bytes, last_page_at, static_cast<std::uint32_t>(last));
  const auto bad_count = load_little_endian<std::uint32_t>(page, bad_count_at);
  const auto slot = [](std::uint32_t index) { return bad_pages_at + std::size_t{4} * index; };
  std::uint32_t kept = 0;
  for (std::uint32_t index = 0; index < bad_count; ++index) {
    const auto bad = load_little_endian<std::uint32_t>(page, slot(index));
    if (bad <= last) store_little_endian(bytes, slot(kept++), bad);
  }
  for (std::uint32_t index = kept; index < bad_count; ++index) {
    store_little_endian(bytes, slot(index), std::uint32_t{0});
  }
  store_little_endian(bytes, bad_count_at, kept);
  return io::Patch{0, std::move(page)};
}

}  // namespace formats::partitions
