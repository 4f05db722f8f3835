#include "formats/disks/filesystems/fat/table.hpp"

#include <cassert>

#include "formats/bytes/little_endian.hpp"

namespace formats::filesystems::fat {
namespace {

// Entry `index` of the table that begins with `bytes`.
std::uint32_t decode(std::span<const std::byte> bytes, std::uint32_t index, Width width) {
  switch (width) {
    case Width::fat12: {
      const std::uint32_t pair = load_little_endian<std::uint16_t>(bytes, index + index / 2);
      return index % 2 == 0 ? pair & 0xfff : pair >> 4;
    }
    case Width::fat16:
      return load_little_endian<std::uint16_t>(bytes, std::size_t{index} * 2);
    case Width::fat32:
      return load_little_endian<std::uint32_t>(bytes, std::size_t{index} * 4) & 0x0fffffff;
  }
  return 0;
}

// Bytes of the first `entries` entries.
std::size_t bytes_of(std::uint64_t entries, Width width) {
  return (entries * static_cast<std::uint64_t>(width) + 7) / 8;
}

}  // namespace

Table::Table(const DiskView& volume, const BootSector& boot, std::uint32_t number)
    : view_(volume.part(boot.table(number))), width_(boot.width), entries_(boot.clusters + 2) {}

void Table::read(std::uint32_t first, std::uint32_t count, std::vector<std::uint32_t>& values) {
  assert(first % piece == 0);
  assert(count <= piece);
  const std::vector<std::byte> bytes = view_.read(bytes_of(first, width_), bytes_of(count, width_));
  values.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) values[i] = decode(bytes, i, width_);
}

Entry Table::at(std::uint32_t number) {
  assert(number < entries_);
  const std::uint32_t even = number & ~std::uint32_t{1};
  const std::size_t begin = bytes_of(even, width_);
  const std::vector<std::byte> bytes =
      view_.read(begin, bytes_of(std::uint64_t{number} + 1, width_) - begin);
  return {decode(bytes, number - even, width_), width_};
}

}  // namespace formats::filesystems::fat
