#include "formats/filesystems/btrfs/extent_map.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "formats/filesystems/btrfs/chunk_map.hpp"
#include "formats/filesystems/btrfs/gaps.hpp"
#include "formats/filesystems/btrfs/tree.hpp"
#include "formats/filesystems/btrfs/words.hpp"
#include "formats/filesystems/doubt.hpp"
#include "formats/little_endian.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t extent_tree = 2;

[[noreturn]] void damaged_trees(std::string_view what) {
  throw Doubt{fmt::format("its trees contradict each other: {}", what), std::string(repair)};
}

void check_trees(bool holds, std::string_view what) {
  if (!holds) damaged_trees(what);
}

// --- reading the trees ---

ChunkMap read_chunks(DiskView& container, const Superblock& super,
                     std::vector<std::uint64_t>& blocks_read) {
  const std::vector<Chunk> system_chunks = parse_system_chunks(super);
  const ChunkMap system_map(system_chunks);
  TreeReader reader(container, super, system_map);
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

TreeRoot find_root(TreeReader& reader, const Superblock& super, std::uint64_t tree) {
  constexpr std::size_t at_generation = 160;
  constexpr std::size_t at_address = 176;
  constexpr std::size_t at_level = 238;
  std::optional<TreeRoot> root;
  const Key key{tree, root_item, 0};
  reader.walk(super.root_tree, key, key, [&](const Key&, Bytes item) {
    check_trees(item.size() > at_level, "a short root");
    root = TreeRoot{.address = u64(item, at_address),
                    .generation = u64(item, at_generation),
                    .level = std::to_integer<std::uint8_t>(item[at_level]),
                    .owner = tree};
  });
  if (!root) damaged_trees("there is no extent tree");
  return *root;
}

void add_group(Gaps& gaps, const Key& key, Bytes item) {
  check_trees(item.size() == 24, "a block group of another size");
  gaps.add_group(key.object, key.offset, u64(item, 16), u64(item, 0));
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
    } else if (key.type == block_group_item) {
      add_group(gaps, key, item);
    } else {
      check_trees(std::find(references.begin(), references.end(), key.type) != references.end(),
                  "an item of unknown kind");
    }
  });
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

std::vector<io::ByteRange> find_free(DiskView& container, const Superblock& super) {
  std::vector<std::uint64_t> chunk_tree_blocks;
  const ChunkMap chunks = read_chunks(container, super, chunk_tree_blocks);
  std::uint64_t allocated = 0;
  for (const io::ByteRange chunk : chunks.on_device()) allocated += chunk.length;
  check_trees(allocated == super.device_used, "the chunks are not as long as the superblock says");

  TreeReader reader(container, super, chunks);
  Gaps gaps(chunks, super.sector_size);
  read_extents(reader, super, gaps);
  check_trees(gaps.used() == super.bytes_used,
              "the extents are not as long as the superblock says");
  check_are_used(chunk_tree_blocks, gaps, chunks, super.node_size);
  check_are_used(reader.blocks(), gaps, chunks, super.node_size);

  std::vector<io::ByteRange> places = on_device(std::move(gaps).take(), chunks);
  add_unallocated(places, chunks, super.device_size);
  return tidied(std::move(places));
}

}  // namespace formats::filesystems::btrfs
