#include "formats/images/vhd/map.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/block_owners.hpp"
#include "io/error.hpp"

namespace formats::vhd {
namespace {

constexpr std::uint32_t no_block = 0xffffffff;

std::optional<io::Error> fault_of_fixed(const io::File& file, const Layout& layout) {
  if (layout.footer.virtual_size() <= layout.footer_offset) return std::nullopt;
  return io::Error::format(
      file.path(), layout.footer_offset,
      fmt::format("the content ends here, before the {} bytes that the footer tells of: it was cut "
                  "short",
                  layout.footer.virtual_size()));
}

void check_fixed(const io::File& file, const Layout& layout, BlockCheck& check) {
  BlockCheckResult& result = check.result();
  const std::uint64_t size = layout.footer.virtual_size();
  if (const auto fault = fault_of_fixed(file, layout)) {
    check.corrupt(*fault);
  } else {
    result.leaked_bytes = layout.footer_offset - size;
    result.leaked_blocks = result.leaked_bytes / sector;
  }
  result.total_blocks = result.allocated_blocks = size / sector;
  result.image_end = file.size();
}

// Whoever finds the end missing goes by the copy.
void check_copy(const io::File& file, const Layout& layout, BlockCheck& check) {
  std::array<std::byte, footer_bytes> footer{};
  std::array<std::byte, footer_bytes> copy{};
  const std::uint64_t length = std::min(footer_bytes, file.size() - layout.footer_offset);
  (void)file.read_at(layout.footer_offset, std::span(footer).first(length));
  (void)file.read_at(0, std::span(copy).first(length));
  if (footer == copy) return;
  check.corrupt(io::Error::format(
      file.path(), 0,
      fmt::format("here should be a copy of the footer, which is at {}", layout.footer_offset)));
}

}  // namespace

BlockRun FixedMap::run_at(std::uint64_t guest, std::uint64_t most) {
  BlockRun run;
  run.kind = BlockKind::plain;
  run.guest = run.host = guest;
  run.length = std::min(most, guest_size_ - guest);
  return run;
}

DynamicMap::DynamicMap(const io::File& file, const Layout& layout, BlockCheck* check)
    : EntryMap(layout.footer.virtual_size(), layout.header->block_size),
      pages_(file),
      header_(*layout.header),
      bits_(block_count()) {
  check_blocks(layout, check);
}

std::uint32_t DynamicMap::entry(std::uint64_t index) {
  return load_big_endian<std::uint32_t>(pages_.cached(header_.table_offset + index * 4, 4), 0);
}

void DynamicMap::check_blocks(const Layout& layout, BlockCheck* check) {
  const std::uint64_t size = pages_.file_size();
  BlockOwners owners(pages_.path(), size, header_.bitmap_bytes() + block_size(), check);
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
  if (check != nullptr) owners.count_leaks();
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

void check(const io::File& file, BlockCheck& check) {
  const Layout layout = read_layout(file);
  if (layout.end_is_missing) {
    check.corrupt(io::Error::format(file.path(), file.size(),
                                    "here should be the footer; its copy at the start was read"));
  }
  if (!layout.header) {
    check_fixed(file, layout, check);
    return;
  }
  if (!layout.end_is_missing) check_copy(file, layout, check);
  check.result().total_blocks = DynamicMap(file, layout, &check).block_count();
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  const Layout layout = read_layout(file);
  const Footer& footer = layout.footer;
  if (footer.kind != Kind::fixed) return std::make_unique<DynamicMap>(file, layout);
  if (const auto fault = fault_of_fixed(file, layout)) throw io::Error(*fault);
  return std::make_unique<FixedMap>(footer.virtual_size());
}

}  // namespace formats::vhd
