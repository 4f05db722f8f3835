#include "formats/disks/filesystems/btrfs/extent_map.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/btrfs/gaps.hpp"
#include "formats/disks/filesystems/btrfs/log_tree.hpp"
#include "formats/disks/filesystems/btrfs/several_devices.hpp"
#include "formats/disks/filesystems/btrfs/tree.hpp"
#include "formats/disks/filesystems/btrfs/walk_files.hpp"
#include "formats/disks/filesystems/btrfs/words.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ranges.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t extent_tree = 2;
constexpr std::uint64_t group_tree = 11;

[[noreturn]] void damaged_trees(std::string_view what) {
  throw Doubt(Reason::damaged, fmt::format("its trees contradict each other: {}", what),
              std::string(repair));
}

void check_trees(bool holds, std::string_view what) {
  if (!holds) damaged_trees(what);
}

// --- reading the trees ---

}  // namespace

ChunkMap read_chunks(DiskView& volume, const Superblock& super,
                     std::vector<std::uint64_t>& blocks_read) {
  const std::vector<Chunk> system_chunks = parse_system_chunks(super);
  const ChunkMap system_map(system_chunks);
  TreeReader reader(volume, super, system_map);
  std::vector<Chunk> chunks;
  reader.walk(super.chunk_tree, lowest_key, highest_key, [&](const Key& key, Bytes item) {
    constexpr std::uint64_t all_chunks = 256;
    if (key.type != chunk_item) return;
    check_trees(key.object == all_chunks, "a chunk of another kind");
    chunks.push_back(parse_chunk(key.offset, item, super));
  });
  blocks_read = reader.blocks();
  for (const Chunk& chunk : system_chunks) {
    check_trees(std::find(chunks.begin(), chunks.end(), chunk) != chunks.end(),
                "a system chunk that is not in the chunk tree");
  }
  return ChunkMap(std::move(chunks));
}

namespace {

TreeRoot find_root(TreeReader& reader, const Superblock& super, std::uint64_t tree) {
  std::optional<TreeRoot> root;
  const Key key{tree, root_item, 0};
  reader.walk(super.root_tree, key, key,
              [&](const Key&, Bytes item) { root = parse_root(tree, item).root; });
  if (!root) damaged_trees(fmt::format("there is no tree {}", tree));
  return *root;
}

void add_group(Gaps& gaps, const Key& key, Bytes item) {
  check_trees(item.size() == 24, "a block group of another size");
  gaps.add_group(key.object, key.offset, u64(item, 16), u64(item, 0));
}

void read_groups(TreeReader& reader, const Superblock& super, Gaps& gaps) {
  const TreeRoot root = find_root(reader, super, group_tree);
  reader.walk(root, lowest_key, highest_key, [&](const Key& key, Bytes item) {
    check_trees(key.type == block_group_item, "an item of unknown kind");
    add_group(gaps, key, item);
  });
}

void read_extents(TreeReader& reader, const Superblock& super, Gaps& gaps) {
  // References to extents, which do not say where one is: from trees, files, by number or place.
  constexpr auto references = std::to_array<std::uint8_t>({172, 176, 178, 182, 184});
  const TreeRoot root = find_root(reader, super, extent_tree);
  reader.walk(root, lowest_key, highest_key, [&](const Key& key, Bytes item) {
    if (key.type == extent_item) {
      gaps.add_extent(key.object, key.offset);
    } else if (key.type == metadata_item) {
      gaps.add_extent(key.object, super.node_size);
    } else if (key.type == block_group_item && !super.has_group_tree) {
      add_group(gaps, key, item);
    } else {
      check_trees(std::find(references.begin(), references.end(), key.type) != references.end(),
                  "an item of unknown kind");
    }
  });
  if (super.has_group_tree) read_groups(reader, super, gaps);
  gaps.finish();
}

void check_are_used(const std::vector<std::uint64_t>& blocks, const Gaps& gaps,
                    const ChunkMap& chunks, std::uint32_t node_size) {
  for (const std::uint64_t block : blocks) {
    check_trees(chunks.find(block, node_size) != nullptr && !gaps.have_any_of(block, node_size),
                "blocks of the trees are free");
  }
}

// --- from addresses to the device ---

// What is always in use, whatever the chunks say: boot loaders, and the superblock's copies with
// all of the 64 KiB that are kept for each.
constexpr auto reserved = std::to_array<io::ByteRange>(
    {{0, io::MiB}, {64 * io::MiB, 64 * io::KiB}, {256 * io::GiB, 64 * io::KiB}});

std::vector<io::ByteRange> on_device(const std::vector<io::ByteRange>& addresses,
                                     const ChunkMap& chunks) {
  std::vector<io::ByteRange> places;
  places.reserve(2 * addresses.size());
  auto chunk = chunks.chunks().begin();
  for (const io::ByteRange range : addresses) {
    while (chunk->end() <= range.offset) ++chunk;
    for (auto part = chunk; part != chunks.chunks().end() && part->address < range.end(); ++part) {
      const io::ByteRange inside =
          io::intersection(range, io::ByteRange{part->address, part->length});
      for (std::uint32_t i = 0; i < part->copies; ++i) {
        places.push_back({part->places[i] + (inside.offset - part->address), inside.length});
      }
    }
  }
  return places;
}

void add_unallocated(std::vector<io::ByteRange>& places, const ChunkMap& chunks,
                     std::uint64_t device_size) {
  std::uint64_t position = 0;
  places.reserve(places.size() + chunks.on_device().size() + 1);
  for (const io::ByteRange chunk : chunks.on_device()) {
    places.push_back(io::range_between(position, chunk.offset));
    position = chunk.end();
  }
  places.push_back(io::range_between(position, device_size));
}

// Ascending, joined where they touch, and without what is reserved.
std::vector<io::ByteRange> tidied(std::vector<io::ByteRange> places) {
  std::sort(places.begin(), places.end(),
            [](io::ByteRange a, io::ByteRange b) { return a.offset < b.offset; });
  std::vector<io::ByteRange> free;
  free.reserve(places.size() + reserved.size());
  const auto add = [&](io::ByteRange range) {
    if (range.empty()) return;
    if (!free.empty() && free.back().end() == range.offset) {
      free.back().length += range.length;
    } else {
      free.push_back(range);
    }
  };
  for (io::ByteRange place : places) {
    for (const io::ByteRange keep : reserved) {
      if (io::intersection(place, keep).empty()) continue;
      add(io::range_between(place.offset, keep.offset));
      place = io::range_between(keep.end(), place.end());
    }
    add(place);
  }
  return free;
}

}  // namespace

std::vector<io::ByteRange> find_free(DiskView& volume, const Superblock& super, MapCheck check) {
  if (super.devices > 1) return tidied(find_unallocated(volume, super));
  std::vector<std::uint64_t> chunk_tree_blocks;
  const ChunkMap chunks = read_chunks(volume, super, chunk_tree_blocks);
  std::uint64_t allocated = 0;
  for (const io::ByteRange chunk : chunks.on_device()) allocated += chunk.length;
  check_trees(allocated == super.device_used, "the chunks are not as long as the superblock says");

  TreeReader reader(volume, super, chunks);
  Gaps gaps(chunks, super.sector_size);
  read_extents(reader, super, gaps);
  check_trees(gaps.used() == super.bytes_used,
              "the extents are not as long as the superblock says");
  check_are_used(chunk_tree_blocks, gaps, chunks, super.node_size);
  check_are_used(reader.blocks(), gaps, chunks, super.node_size);
  if (check == MapCheck::with_files) walk_files(volume, super, chunks, gaps);

  std::vector<io::ByteRange> logged;
  if (super.log_tree) logged = read_log(volume, super, chunks);
  std::vector<io::ByteRange> places =
      on_device(without(std::move(gaps).take(), std::move(logged)), chunks);
  add_unallocated(places, chunks, super.device_size);
  return tidied(std::move(places));
}

}  // namespace formats::filesystems::btrfs
