#include "formats/images/vhdx/map.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/block_owners.hpp"
#include "io/error.hpp"

namespace formats::vhdx {
namespace {

// The states of a block, in the lowest three bits of its word.
enum State : std::uint8_t {
  not_present = 0,
  undefined = 1,
  zero = 2,
  unmapped = 3,
  unmapped_earlier = 5,
  fully_present = 6,
  partially_present = 7,
};

constexpr std::uint64_t largest_table = 64 * io::MiB;
constexpr std::uint64_t state_bits = 7;
constexpr std::uint64_t place_bits = ~(unit - 1);

std::uint8_t state_of(std::uint64_t word) { return static_cast<std::uint8_t>(word & state_bits); }

}  // namespace

VhdxMap::VhdxMap(const io::File& file, Layout layout, BlockCheck* check)
    : EntryMap(layout.metadata.virtual_size, layout.metadata.block_size),
      layout_(std::move(layout)),
      stored_size_(file.size()),
      pages_(patched_pages(file, layout_.patches)) {
  check_blocks(check);
}

// Behind each chunk of blocks there is the entry of their bitmap.
std::uint64_t VhdxMap::entry_place(std::uint64_t index) const {
  const std::uint64_t number = index + index / layout_.metadata.chunk_ratio();
  return layout_.regions.table.offset + number * 8;
}

std::uint64_t VhdxMap::entry(std::uint64_t index) {
  return load_little_endian<std::uint64_t>(pages_.cached(entry_place(index), 8), 0);
}

std::uint64_t VhdxMap::bitmap_entry_place(std::uint64_t chunk) const {
  const std::uint64_t ratio = layout_.metadata.chunk_ratio();
  return layout_.regions.table.offset + (chunk * (ratio + 1) + ratio) * 8;
}

// Where the bitmap of a chunk lies, which says of each sector whether it is the image's own.
std::uint64_t VhdxMap::bitmap_of(std::uint64_t chunk) {
  const std::uint64_t at = bitmap_entry_place(chunk);
  const auto word = load_little_endian<std::uint64_t>(pages_.cached(at, 8), 0);
  const std::uint64_t place = word & place_bits;
  const std::uint64_t size = pages_.file_size();
  if (state_of(word) != fully_present || place < unit || place > size || unit > size - place) {
    throw io::Error::format(pages_.path(), at,
                            fmt::format("the table's word for the bitmap of chunk {} is {:#018x}, "
                                        "and a block needs it",
                                        chunk, word));
  }
  return place;
}

void VhdxMap::check_blocks(BlockCheck* check) {
  const std::uint64_t table_length = layout_.metadata.entries() * 8;
  if (table_length > layout_.regions.table.length) {
    throw io::Error::format(pages_.path(), layout_.regions.table.offset,
                            fmt::format("a block table of {} bytes is too short: the disk has {} "
                                        "blocks",
                                        layout_.regions.table.length, block_count()));
  }
  if (table_length > largest_table) {
    throw io::Error(io::ErrorKind::unsupported, pages_.path(),
                    fmt::format("has a block table of {} bytes; imgtool takes at most {}",
                                table_length, largest_table));
  }
  const std::uint64_t file_size = pages_.file_size();
  const Regions& regions = layout_.regions;
  if (!io::intersection(layout_.header.log, regions.table).empty() ||
      !io::intersection(layout_.header.log, regions.metadata).empty()) {
    throw io::Error::format(pages_.path(), layout_.header.log.offset,
                            "the log is said to be here, where the block table or the metadata is");
  }
  BlockOwners owners(pages_.path(), file_size, block_size(), check);
  owners.reserve({0, unit}, "the header");
  owners.reserve(layout_.header.log, "the log");
  owners.reserve(regions.table, "the block table");
  owners.reserve(regions.metadata, "the metadata");
  for (std::uint64_t index = 0; index < block_count(); ++index) {
    const std::uint64_t word = entry(index);
    if (!check_entry(word, index, check)) continue;
    if (state_of(word) == partially_present && !note_bitmap(index, check, owners)) continue;
    if (state_of(word) != fully_present && state_of(word) != partially_present) continue;
    const std::uint64_t place = word & place_bits;
    std::uint64_t needed = content_of(index);
    if (layout_.may_be_cut && place < file_size) needed = std::min(needed, file_size - place);
    owners.add(place, needed, index, entry_place(index));
  }
  owners.check();
  if (check == nullptr) return;
  owners.count_leaks();
  // Bitmaps, which a parent needs, are not looked at; and fixed images are made with room to spare.
  if (layout_.metadata.has_parent || layout_.metadata.fixed) {
    check->result().leaked_blocks = check->result().leaked_bytes = 0;
  }
}

// Looks for the bitmap that block `index` needs. Whether it is there.
bool VhdxMap::note_bitmap(std::uint64_t index, BlockCheck* check, BlockOwners& owners) {
  const std::uint64_t chunk = index / layout_.metadata.chunk_ratio();
  if (chunk >= bitmaps_.size()) bitmaps_.resize(chunk + 1);
  if (bitmaps_[chunk] != 0) return true;
  try {
    bitmaps_[chunk] = bitmap_of(chunk);
  } catch (const io::Error& error) {
    report(check, error);
    return false;
  }
  owners.reserve({bitmaps_[chunk], unit}, "a bitmap of sectors");
  return true;
}

// Whether it can be gone by.
bool VhdxMap::check_entry(std::uint64_t word, std::uint64_t index, BlockCheck* check) const {
  const std::uint8_t state = state_of(word);
  const bool partial = state == partially_present;
  const bool known = state <= unmapped || state == unmapped_earlier || state == fully_present ||
                     (partial && layout_.metadata.has_parent);
  if (known && (word & ~place_bits & ~state_bits) == 0) return true;
  report(check,
         io::Error::format(pages_.path(), entry_place(index),
                           fmt::format("the table's word for block {} is {:#018x}: {}", index, word,
                                       partial ? "it needs a parent, and the image has none"
                                               : "no such state or bits are known")));
  return false;
}

StoredBlock VhdxMap::block_at(std::uint64_t index) {
  const std::uint64_t word = entry(index);
  switch (state_of(word)) {
    case fully_present:
    case partially_present:
      return {BlockKind::plain, word & place_bits};
    case zero:
      return {BlockKind::zero};
    case not_present:
      return {BlockKind::absent};
    default:  // unmapped: zeros, and never the parent's
      return {layout_.metadata.has_parent ? BlockKind::zero : BlockKind::absent};
  }
}

bool VhdxMap::is_partial(std::uint64_t index) {
  return layout_.metadata.has_parent && state_of(entry(index)) == partially_present;
}

// Whether the image itself has the sector at `guest`, whose block is partially present. The lowest
// bit of a byte is that of the first sector.
bool VhdxMap::has_sector(std::uint64_t guest) {
  const std::uint64_t per_chunk = layout_.metadata.chunk_ratio() * block_size();
  const std::uint64_t bit = guest % per_chunk / layout_.metadata.logical_sector;
  const auto byte = pages_.cached(bitmaps_[guest / per_chunk] + bit / 8, 1);
  return (std::to_integer<unsigned>(byte[0]) >> bit % 8 & 1) != 0;
}

// Ends `run`, which begins in a block that is partially present, where its first sectors are not
// alike any more.
void VhdxMap::clip_to_sectors(BlockRun& run) {
  const std::uint64_t sector = layout_.metadata.logical_sector;
  const bool own = has_sector(run.guest);
  std::uint64_t end = io::align_down(run.guest, sector) + sector;
  while (end < run.guest + run.length && has_sector(end) == own) end += sector;
  run.length = std::min(run.length, end - run.guest);
  if (own) return;
  run.kind = BlockKind::absent;
  run.host = 0;
}

// A run of plain blocks ends before one that is partially present.
void VhdxMap::clip_to_own(BlockRun& run) {
  const std::uint64_t first = run.guest / block_size();
  const std::uint64_t last = (run.guest + run.length - 1) / block_size();
  for (std::uint64_t index = first; index <= last; ++index) {
    if (!is_partial(index)) continue;
    if (index > first) {
      run.length = index * block_size() - run.guest;
    } else {
      run.length = std::min(run.length, (first + 1) * block_size() - run.guest);
      clip_to_sectors(run);
    }
    return;
  }
}

// What the log changes lies in memory; what is behind the end of the file is zeros.
BlockRun VhdxMap::run_at(std::uint64_t guest, std::uint64_t most) {
  BlockRun run = EntryMap::run_at(guest, most);
  if (run.kind == BlockKind::plain && layout_.metadata.has_parent) clip_to_own(run);
  if (run.kind != BlockKind::plain) return run;
  const Patches::Patch patch = layout_.patches.next(run.host);
  if (patch.range.contains(run.host)) {
    const std::uint64_t inside = run.host - patch.range.offset;
    run.length = std::min(run.length, patch.range.length - inside);
    run.kind = patch.bytes != nullptr ? BlockKind::memory : BlockKind::zero;
    run.memory = patch.bytes != nullptr ? patch.bytes + inside : nullptr;
    return run;
  }
  if (!patch.range.empty()) run.length = std::min(run.length, patch.range.offset - run.host);
  if (run.host >= stored_size_) {
    run.kind = BlockKind::zero;
  } else {
    run.length = std::min(run.length, stored_size_ - run.host);
  }
  return run;
}

namespace {

VhdxMap::Layout read_layout(const io::File& file) {
  VhdxMap::Layout layout;
  layout.header = read_header(file);
  if (!layout.header.log_is_empty()) {
    layout.patches = replay_log(file, layout.header.log, layout.header.log_guid);
  }
  {
    const TablePages pages = patched_pages(file, layout.patches);
    layout.regions = read_regions(pages);
    layout.metadata = read_metadata(pages, layout.regions.metadata);
  }
  // Old versions of qemu do not fill the last block up.
  layout.may_be_cut = read_creator(file).starts_with("QEMU");
  return layout;
}

}  // namespace

void check(const io::File& file, BlockCheck& check) {
  VhdxMap::Layout layout = read_layout(file);
  if (!layout.header.log_is_empty()) {
    check.remark(fmt::format("{}: its log was not replayed; it is checked as the log leaves it",
                             file.path()));
  }
  check.result().total_blocks = VhdxMap(file, std::move(layout), &check).block_count();
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  return std::make_unique<VhdxMap>(file, read_layout(file));
}

}  // namespace formats::vhdx
