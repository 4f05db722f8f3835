#include "formats/images/vhd/map.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/block_owners.hpp"
#include "io/error.hpp"

namespace formats::vhd {
namespace {

constexpr std::uint32_t no_block = 0xffffffff;

}  // namespace

BlockRun FixedMap::run_at(std::uint64_t guest, std::uint64_t most) {
  BlockRun run;
  run.kind = BlockKind::plain;
  run.guest = run.host = guest;
  run.length = std::min(most, guest_size_ - guest);
  return run;
}

DynamicMap::DynamicMap(const io::File& file, const Layout& layout)
    : EntryMap(layout.footer.virtual_size(), layout.header->block_size),
      pages_(file),
      header_(*layout.header),
      bits_(block_count()) {
  check_blocks(layout);
}

std::uint32_t DynamicMap::entry(std::uint64_t index) {
  return load_big_endian<std::uint32_t>(pages_.cached(header_.table_offset + index * 4, 4), 0);
}

void DynamicMap::check_blocks(const Layout& layout) {
  const std::uint64_t size = pages_.file_size();
  BlockOwners owners(pages_.path(), size, header_.bitmap_bytes() + block_size());
  owners.reserve({0, footer_bytes}, "the copy of the footer");
  owners.reserve({header_.offset, dynamic_header_bytes}, "the dynamic header");
  owners.reserve({header_.table_offset, header_.table_bytes()}, "the block table");
  if (!layout.end_is_missing) {
    owners.reserve(io::range_between(layout.footer_offset, size), "the footer");
  }
  for (std::uint64_t index = 0; index < header_.entries; ++index) {
    const std::uint32_t word = entry(index);
    if (word == no_block) continue;
    owners.add(word * sector, header_.bitmap_bytes() + content_of(index), index,
               header_.table_offset + index * 4);
  }
  owners.check();
}

StoredBlock DynamicMap::block_at(std::uint64_t index) {
  const std::uint32_t word = entry(index);
  if (word == no_block) return {BlockKind::absent};
  return {BlockKind::plain, word * sector + header_.bitmap_bytes()};
}

BlockRun DynamicMap::run_at(std::uint64_t guest, std::uint64_t most) {
  BlockRun run = EntryMap::run_at(guest, most);
  const std::uint64_t index = guest / block_size();
  if (run.kind != BlockKind::plain || all_set(index)) return run;
  if (bitmap_of_ != index) read_bitmap(index);
  // From sector to sector of this block, as long as they are the same.
  const std::uint64_t begin = guest % block_size();
  const std::uint64_t end = begin + run.length;
  const bool stored = is_set(begin / sector);
  std::uint64_t same = io::align_down(begin, sector) + sector;
  while (same < end && is_set(same / sector) == stored) same += sector;
  run.length = std::min(same, end) - begin;
  if (!stored) {
    run.kind = BlockKind::absent;
    run.host = 0;
  }
  return run;
}

// Only as much of it as there are sectors of content.
void DynamicMap::read_bitmap(std::uint64_t index) {
  const std::uint64_t sectors = io::align_up(content_of(index), sector) / sector;
  bitmap_.resize(sectors / 8 + (sectors % 8 != 0 ? 1 : 0));
  bitmap_of_ = index;
  pages_.read(entry(index) * sector, bitmap_, "the bitmap of a block");
}

bool DynamicMap::all_set(std::uint64_t index) {
  if (bits_[index] == Bits::unknown) {
    read_bitmap(index);
    const std::uint64_t sectors = io::align_up(content_of(index), sector) / sector;
    const auto whole_bytes = static_cast<std::ptrdiff_t>(sectors / 8);
    bool all = std::all_of(bitmap_.begin(), bitmap_.begin() + whole_bytes,
                           [](std::byte bits) { return bits == std::byte{0xff}; });
    for (std::uint64_t i = sectors / 8 * 8; all && i < sectors; ++i) all = is_set(i);
    bits_[index] = all ? Bits::all_set : Bits::some_clear;
  }
  return bits_[index] == Bits::all_set;
}

// The highest bit of a byte is that of the first sector.
bool DynamicMap::is_set(std::uint64_t sector_of_block) const {
  const auto byte = std::to_integer<unsigned>(bitmap_[sector_of_block / 8]);
  return (byte & (0x80U >> sector_of_block % 8)) != 0;
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  const Layout layout = read_layout(file);
  const Footer& footer = layout.footer;
  if (footer.kind != Kind::fixed) return std::make_unique<DynamicMap>(file, layout);
  if (footer.virtual_size() > layout.footer_offset) {
    throw io::Error::format(
        file.path(), layout.footer_offset,
        fmt::format("the content ends here, before the {} bytes that the footer "
                    "tells of: it was cut short",
                    footer.virtual_size()));
  }
  return std::make_unique<FixedMap>(footer.virtual_size());
}

}  // namespace formats::vhd
