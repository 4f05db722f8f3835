#include "formats/disks/lvm/thin_metadata.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::lvm {
namespace {

using Bytes = std::span<const std::byte>;

// What the checksum of each kind of block is XORed with.
constexpr std::uint32_t superblock_kind = 160774;
constexpr std::uint32_t tree_kind = 121107;
constexpr std::uint32_t index_kind = 160478;
constexpr std::uint32_t bitmap_kind = 240779;

constexpr std::uint64_t thin_magic = 27022010;
constexpr unsigned deepest_tree = 16;  // a block names at least 80 others in what kernels write
constexpr std::size_t header_size = 32;
constexpr std::size_t most_indexes = 255;  // of bitmaps of the metadata's space map
constexpr std::size_t index_entry_size = 16;
constexpr std::size_t bitmap_header_size = 16;
constexpr std::uint64_t counts_in_bitmap = (thin_block_size - bitmap_header_size) * 4;

std::uint32_t word(Bytes bytes, std::size_t at) {
  return load_little_endian<std::uint32_t>(bytes, at);
}
std::uint64_t long_word(Bytes bytes, std::size_t at) {
  return load_little_endian<std::uint64_t>(bytes, at);
}

void must(bool holds, std::string_view what) {
  if (holds) return;
  throw Doubt(Reason::damaged, fmt::format("the metadata of its thin pool are damaged: {}", what),
              std::string(thin_repair));
}

// The high bit of a count stands first.
unsigned count_at(Bytes bitmap, std::uint64_t n) {
  const auto byte = std::to_integer<unsigned>(bitmap[bitmap_header_size + n / 4]);
  const unsigned pair = (byte >> (n % 4 * 2)) & 3;
  return ((pair & 1) << 1) | (pair >> 1);
}

SpaceMapRoot space_map_at(Bytes bytes, std::size_t at) {
  return {.blocks = long_word(bytes, at), .bitmap_root = long_word(bytes, at + 16)};
}

}  // namespace

struct ThinMetadata::Walk {
  std::size_t value_size;
  const Visitor& visitor;
  bool once;
};

ThinMetadata::ThinMetadata(DiskView& view) : view_(view) {
  read_superblock();
  read_metadata_map();
}

std::vector<std::byte> ThinMetadata::read_block(std::uint64_t block, std::uint32_t kind) {
  must(view_.size() / thin_block_size > block, "a block outside of them");
  auto bytes = view_.read(block * thin_block_size, thin_block_size);
  const std::uint32_t sum = crc32c_update(~std::uint32_t{0}, Bytes(bytes).subspan(4)) ^ kind;
  must(checksum_fits(word(bytes, 0), sum), "wrong checksum");
  must(long_word(bytes, 8) == block, "a block of another place");
  return bytes;
}

void ThinMetadata::read_superblock() {
  const auto bytes = read_block(0, superblock_kind);
  must(long_word(bytes, 32) == thin_magic, "no superblock");
  const std::uint32_t version = word(bytes, 40);
  if (version != 1 && version != 2) {
    throw Doubt(Reason::unsupported, fmt::format("its thin pool has the version {}", version));
  }
  if (word(bytes, 4) != 0) {  // THIN_METADATA_NEEDS_CHECK_FLAG is the only one
    throw Doubt(Reason::damaged, "its thin pool is marked: it has to be checked",
                std::string(thin_repair));
  }
  if (word(bytes, 352) != 0 || word(bytes, 356) != 0 || word(bytes, 360) != 0) {
    throw Doubt(Reason::unsupported, "its thin pool has features that imgtool does not know");
  }
  if (long_word(bytes, 56) != 0) {
    throw Doubt(Reason::in_use, "its thin pool has a metadata snapshot that a program works with",
                "release it (dmsetup message POOL 0 release_metadata_snap)");
  }
  must(word(bytes, 340) == thin_block_size / 512, "the size of its blocks");
  super_ = {.transaction = long_word(bytes, 48),
            .data = space_map_at(bytes, 64),
            .metadata = space_map_at(bytes, 192),
            .mapping_root = long_word(bytes, 320),
            .details_root = long_word(bytes, 328),
            .chunk_size = std::uint64_t{word(bytes, 336)} * 512};
  must(super_.metadata.blocks <= view_.size() / thin_block_size &&
           super_.metadata.blocks <= long_word(bytes, 344) &&
           super_.metadata.blocks <= most_indexes * counts_in_bitmap,
       "more blocks than there are");
}

void ThinMetadata::read_metadata_map() {
  const std::uint64_t blocks = super_.metadata.blocks;
  expected_ = SmallCounts(blocks);
  met_ = SmallCounts(blocks);
  const auto index = read_block(super_.metadata.bitmap_root, index_kind);
  std::vector<std::uint64_t> own{0, super_.metadata.bitmap_root};
  for (std::uint64_t first = 0; first < blocks; first += counts_in_bitmap) {
    const std::uint64_t number = long_word(index, 16 + first / counts_in_bitmap * index_entry_size);
    const auto bitmap = read_block(number, bitmap_kind);
    own.push_back(number);
    for (std::uint64_t n = 0; n < std::min(counts_in_bitmap, blocks - first); ++n) {
      expected_.set(first + n, count_at(bitmap, n));
    }
  }
  for (const std::uint64_t block : own) must(!meet(block), "a block for two things");
}

bool ThinMetadata::meet(std::uint64_t block) {
  must(block < expected_.size(), "a block outside of them");
  must(expected_.at(block) > 0, "a block in use counts as free");
  const bool before = met_.at(block) > 0;
  met_.add_one(block);
  return before;
}

void ThinMetadata::check_counts() const {
  for (std::uint64_t block = 0; block < met_.size(); ++block) {
    must(met_.at(block) == 0 || met_.at(block) == expected_.at(block),
         "a block is used another number of times than its space map says");
  }
}

void ThinMetadata::walk(std::uint64_t root, std::size_t value_size, const Visitor& visitor) {
  walk_block({value_size, visitor, false}, root, 0, ~std::uint64_t{0}, 0, false);
}

void ThinMetadata::walk_once(std::uint64_t root, std::size_t value_size, const Visitor& visitor) {
  walk_block({value_size, visitor, true}, root, 0, ~std::uint64_t{0}, 0, false);
}

// All keys lie from `lowest` to `last`, both included.
void ThinMetadata::walk_block(const Walk& walk, std::uint64_t block, std::uint64_t lowest,
                              std::uint64_t last, unsigned depth, bool shared) {
  must(depth < deepest_tree, "a tree is too deep");
  if (walk.once && meet(block)) return;
  must(block < expected_.size(), "a block outside of them");
  shared = shared || expected_.at(block) > 1;
  if (left_ == 0) {
    throw Doubt(Reason::unsupported, "the thin volumes' maps are larger than imgtool reads");
  }
  --left_;
  const auto bytes = read_block(block, tree_kind);
  const std::uint32_t flags = word(bytes, 4);
  must(flags == 1 || flags == 2, "a block of a tree is of no kind");
  const bool is_leaf = flags == 2;
  const std::size_t size = is_leaf ? walk.value_size : 8;
  const std::uint64_t count = word(bytes, 16);
  const std::uint64_t most = word(bytes, 20);
  must(word(bytes, 24) == size && most <= (thin_block_size - header_size) / (8 + size) &&
           count <= most && (count > 0 || depth == 0),
       "number of entries");
  const Bytes keys = Bytes(bytes).subspan(header_size);
  const Bytes values = keys.subspan(most * 8);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t key = long_word(keys, i * 8);
    const std::uint64_t next = i + 1 < count ? long_word(keys, i * 8 + 8) : last;
    must(lowest <= key && (i + 1 < count ? key < next : key <= last), "order of the keys");
    const Bytes value = values.subspan(i * size, size);
    if (is_leaf) {
      walk.visitor(key, value, shared);
    } else {
      walk_block(walk, long_word(value, 0), key, i + 1 < count ? next - 1 : last, depth + 1,
                 shared);
    }
  }
}

void ThinMetadata::read_data_map(
    const std::function<void(std::uint64_t, std::uint64_t, const Counts&)>& visitor) {
  const std::uint64_t blocks = super_.data.blocks;
  std::uint64_t first = 0;
  walk_once(super_.data.bitmap_root, index_entry_size, [&](std::uint64_t key, Bytes value, bool) {
    must(first < blocks && key == first / counts_in_bitmap, "order of the bitmaps");
    const std::uint64_t number = long_word(value, 0);
    must(!meet(number), "a block for two things");
    const auto bitmap = read_block(number, bitmap_kind);
    visitor(first, std::min(counts_in_bitmap, blocks - first),
            [&](std::uint64_t n) { return count_at(bitmap, n); });
    first += counts_in_bitmap;
  });
  must(first >= blocks, "a bitmap is missing");
}

}  // namespace formats::filesystems::lvm
