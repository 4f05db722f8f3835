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

VhdxMap::VhdxMap(const io::File& file, Layout layout)
    : EntryMap(layout.metadata.virtual_size, layout.metadata.block_size),
      layout_(std::move(layout)),
      stored_size_(file.size()),
      pages_(patched_pages(file, layout_.patches)) {
  check_blocks();
}

// Behind each chunk of blocks there is the entry of their bitmap.
std::uint64_t VhdxMap::entry_place(std::uint64_t index) const {
  const std::uint64_t number = index + index / layout_.metadata.chunk_ratio();
  return layout_.regions.table.offset + number * 8;
}

std::uint64_t VhdxMap::entry(std::uint64_t index) {
  return load_little_endian<std::uint64_t>(pages_.cached(entry_place(index), 8), 0);
}

void VhdxMap::check_blocks() {
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
  BlockOwners owners(pages_.path(), file_size, block_size());
  owners.reserve({0, unit}, "the header");
  owners.reserve(layout_.header.log, "the log");
  owners.reserve(regions.table, "the block table");
  owners.reserve(regions.metadata, "the metadata");
  for (std::uint64_t index = 0; index < block_count(); ++index) {
    const std::uint64_t word = entry(index);
    check_entry(word, index);
    if (state_of(word) != fully_present) continue;
    const std::uint64_t place = word & place_bits;
    std::uint64_t needed = content_of(index);
    if (layout_.may_be_cut && place < file_size) needed = std::min(needed, file_size - place);
    owners.add(place, needed, index, entry_place(index));
  }
  owners.check();
}

void VhdxMap::check_entry(std::uint64_t word, std::uint64_t index) const {
  const std::uint8_t state = state_of(word);
  const bool known = state <= unmapped || state == unmapped_earlier || state == fully_present;
  if (known && (word & ~place_bits & ~state_bits) == 0) return;
  throw io::Error::format(
      pages_.path(), entry_place(index),
      fmt::format("the table's word for block {} is {:#018x}: {}", index, word,
                  state == partially_present ? "it needs a parent, and the image has none"
                                             : "no such state or bits are known"));
}

StoredBlock VhdxMap::block_at(std::uint64_t index) {
  const std::uint64_t word = entry(index);
  if (state_of(word) == fully_present) return {BlockKind::plain, word & place_bits};
  if (state_of(word) == zero) return {BlockKind::zero};
  return {BlockKind::absent};
}

// What the log changes lies in memory; what is behind the end of the file is zeros.
BlockRun VhdxMap::run_at(std::uint64_t guest, std::uint64_t most) {
  BlockRun run = EntryMap::run_at(guest, most);
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

std::unique_ptr<BlockMap> open_map(const io::File& file) {
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
  if (layout.metadata.has_parent) {
    throw io::Error::refusal(
        file.path(),
        fmt::format("is a differencing VHDX image: what it does not hold is in its parent '{}', "
                    "which imgtool does not read; merge them first (Merge-VHD)",
                    layout.metadata.parent));
  }
  // Old versions of qemu do not fill the last block up.
  layout.may_be_cut = read_creator(file).starts_with("QEMU");
  return std::make_unique<VhdxMap>(file, std::move(layout));
}

}  // namespace formats::vhdx
