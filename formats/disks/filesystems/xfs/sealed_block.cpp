#include "formats/disks/filesystems/xfs/sealed_block.hpp"

#include <array>

#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/xfs/inode.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

// By the first four bytes.
struct Kind {
  std::uint32_t magic;
  std::size_t lsn;
  std::size_t uuid;
  std::size_t checksum;  // 0: no parser here reads such a block
};
constexpr auto kinds = std::to_array<Kind>({
    {0x58465342, 240, 32, 224},   // XFSB: the superblock
    {0x58414746, 208, 64, 216},   // XAGF
    {0x58414749, 320, 296, 312},  // XAGI
    {0x5841464c, 24, 8, 32},      // XAFL
    {0x41423342, 24, 32, 52},     // AB3B, AB3C: free space
    {0x41423343, 24, 32, 52},
    {0x49414233, 24, 32, 52},  // IAB3, FIB3: inodes
    {0x46494233, 24, 32, 52},
    {0x524d4233, 24, 32, 52},  // RMB3, R3FC: reverse map, reference counts
    {0x52334643, 24, 32, 52},
    {0x424d4133, 32, 40, 64},  // BMA3: a file's map
    {0x58534c4d, 48, 16, 0},   // XSLM: a symbolic link
    {0x58444233, 16, 24, 0},   // XDB3, XDD3, XDF3: directories
    {0x58444433, 16, 24, 0},
    {0x58444633, 16, 24, 0},
});

// By the two bytes that come after eight others: nodes and leaves of directories and attributes.
constexpr auto node_magics = std::to_array<std::uint16_t>({0x3df1, 0x3dff, 0x3ebe, 0x3bee});
constexpr Kind node{0, 24, 32, 0};

const Kind* kind_of(Bytes block) {
  for (const Kind& kind : kinds) {
    if (u32(block, 0) == kind.magic) return &kind;
  }
  for (const std::uint16_t magic : node_magics) {
    if (u16(block, 8) == magic) return &node;
  }
  return nullptr;
}

}  // namespace

bool is_newer(Bytes block, std::uint64_t lsn, const Geometry& geometry) {
  if (!geometry.is_v5) return false;  // such blocks have no number of their own
  const Kind* kind = kind_of(block);
  if (kind == nullptr) return false;
  if (!equals(block.subspan(kind->uuid, 16), geometry.metadata_uuid)) return false;
  const std::uint64_t own = u64(block, kind->lsn);
  return own != 0 && own != ~std::uint64_t{0} && own >= lsn;
}

void seal(std::span<std::byte> block, const Geometry& geometry) {
  if (!geometry.is_v5) return;
  if (const Kind* kind = kind_of(block); kind != nullptr && kind->checksum != 0) {
    return seal_at(block, kind->checksum);
  }
  if (u16(block, 0) != inode_magic) return;
  for (std::size_t at = 0; at + geometry.inode_size <= block.size(); at += geometry.inode_size) {
    const auto inode = block.subspan(at, geometry.inode_size);
    if (u16(inode, 0) == inode_magic) seal_at(inode, inode_checksum);
  }
}

void seal_at(std::span<std::byte> block, std::size_t field) {
  store_little_endian(block, field, ~crc32c_update_without(~std::uint32_t{0}, block, field));
}

}  // namespace formats::filesystems::xfs
