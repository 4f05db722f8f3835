#include "formats/disks/filesystems/xfs/replay_inode.hpp"

#include <algorithm>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/xfs/inode.hpp"
#include "formats/disks/filesystems/xfs/log.hpp"
#include "formats/disks/filesystems/xfs/log_ring.hpp"
#include "formats/disks/filesystems/xfs/sealed_block.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

// XFS_ILOG_*: which regions follow.
enum Fields : std::uint32_t {
  local_data = 0x2,
  data_extents = 0x4,
  data_root = 0x8,
  any_data = local_data | data_extents | data_root,
  local_attributes = 0x40,
  attribute_extents = 0x80,
  attribute_root = 0x100,
  any_attributes = local_attributes | attribute_extents | attribute_root,
  new_owner = 0x200 | 0x400,
};

constexpr std::size_t logged_core_v2 = 96;  // without the pointer to the next unlinked inode
constexpr std::size_t di_flushiter = 30;    // of version 2 alone
constexpr std::size_t di_lsn = 112;

// A number of the core, turned round.
template <class T>
void turn(Bytes core, std::size_t at, std::vector<std::byte>& inode) {
  store_big_endian(std::span(inode), at, load_little_endian<T>(core, at));
}

// What every version has.
void copy_core(Bytes core, std::vector<std::byte>& inode) {
  for (const std::size_t at : {4U, 5U, 82U, 83U}) inode[at] = core[at];  // version, formats, fork
  for (const std::size_t at : {0U, 2U, 80U, 90U}) turn<std::uint16_t>(core, at, inode);
  for (const std::size_t at : {16U, 76U}) turn<std::uint32_t>(core, at, inode);
  for (const std::size_t at : {48U, 56U, 64U}) turn<std::uint64_t>(core, at, inode);
}

void copy_core_v3(Bytes core, std::vector<std::byte>& inode) {
  constexpr std::size_t flags2 = 120;
  constexpr std::uint64_t large_counts = 0x10;
  constexpr std::size_t anextents = 80;
  const auto old = load_little_endian<std::uint16_t>(inode, anextents);
  copy_core(core, inode);
  turn<std::uint64_t>(core, flags2, inode);
  if ((load_little_endian<std::uint64_t>(core, flags2) & large_counts) == 0) return;
  turn<std::uint64_t>(core, 24, inode);
  store_little_endian(std::span(inode), anextents, old);
}

// A root as it is in memory, with a block's header, becomes one as it is in an inode.
void copy_root(Bytes region, std::span<std::byte> fork, const Geometry& geometry) {
  constexpr std::size_t root_header = 4;
  const std::size_t header = geometry.is_v5 ? 72 : 24;
  check_log(region.size() >= header && fork.size() >= root_header);
  const std::size_t most_here = (region.size() - header) / 16;
  const std::size_t most_there = (fork.size() - root_header) / 16;
  const std::size_t count = u16(region, 6);
  check_log(count <= most_here && count <= most_there);
  std::fill(fork.begin(), fork.end(), std::byte{0});
  std::copy_n(region.begin() + 4, root_header, fork.begin());  // level, count
  const auto copy = [&](std::size_t from, std::size_t to) {
    const Bytes words = region.subspan(from, 8 * count);
    std::copy(words.begin(), words.end(), fork.begin() + static_cast<std::ptrdiff_t>(to));
  };
  copy(header, root_header);
  copy(header + 8 * most_here, root_header + 8 * most_there);
}

// `kind`: one of `any_data` or `any_attributes`.
void copy_fork(Bytes region, std::span<std::byte> fork, std::uint32_t kind,
               const Geometry& geometry) {
  if (kind == data_root || kind == attribute_root) return copy_root(region, fork, geometry);
  check_log(region.size() <= fork.size());
  std::copy(region.begin(), region.end(), fork.begin());
}

bool is_newer_inode(Bytes inode, std::uint64_t lsn) {
  const std::uint64_t own = u64(inode, di_lsn);
  return own != 0 && own != ~std::uint64_t{0} && own > lsn;
}

// How often each was flushed; the counter starts again behind its largest value.
bool was_flushed_later(Bytes inode, Bytes core) {
  constexpr unsigned most = 0xffff;
  const unsigned here = u16(inode, di_flushiter);
  const unsigned there = load_little_endian<std::uint16_t>(core, di_flushiter);
  return there < here && !(here == most && there < most / 2);
}

void check_cores(Bytes core, Bytes inode, const Geometry& geometry) {
  check_log(core.size() >= (geometry.is_v5 ? inode_core_v3 : logged_core_v2) &&
            load_little_endian<std::uint16_t>(core, 0) == inode_magic);
  const unsigned version = u8(core, 4);
  check_log(geometry.is_v5 ? version == 3 : version == 1 || version == 2);
  check_log(u16(inode, 0) == inode_magic);
}

void copy_forks(const InodeItem& described, const LogItem& item, const Geometry& geometry,
                std::vector<std::byte>& inode) {
  const std::span<std::byte> forks =
      std::span(inode).subspan(geometry.is_v5 ? inode_core_v3 : inode_core_v2);
  const std::size_t boundary = std::size_t{8} * u8(inode, 82);
  check_log(boundary < forks.size());
  std::size_t region = 2;
  if (const std::uint32_t kind = described.fields & any_data; kind != 0) {
    check_log(region < item.regions.size());
    copy_fork(item.regions[region++], boundary == 0 ? forks : forks.first(boundary), kind,
              geometry);
  }
  if (const std::uint32_t kind = described.fields & any_attributes; kind != 0) {
    check_log(region < item.regions.size() && boundary != 0);
    copy_fork(item.regions[region++], forks.subspan(boundary), kind, geometry);
  }
  check_log(region == item.regions.size());
}

}  // namespace

InodeItem parse_inode_item(const LogItem& item, const Geometry& geometry) {
  constexpr std::size_t format_size = 56;
  check_log(item.regions.size() >= 2 && item.regions.front().size() == format_size);
  const Bytes format = item.regions.front();
  InodeItem result;
  result.fields = load_little_endian<std::uint32_t>(format, 4);
  result.number = load_little_endian<std::uint64_t>(format, 16);
  result.buffer_block = load_little_endian<std::uint64_t>(format, 40);
  result.buffer_blocks = load_little_endian<std::uint32_t>(format, 48);
  const std::uint32_t offset = load_little_endian<std::uint32_t>(format, 52);

  const std::uint64_t per_block = geometry.block_size / geometry.inode_size;
  const std::uint64_t block = result.number / per_block;
  const std::uint64_t ag = block >> geometry.ag_block_bits;
  const std::uint64_t in_group = block & ((std::uint64_t{1} << geometry.ag_block_bits) - 1);
  check_log(ag < geometry.ag_count && in_group < geometry.length(static_cast<std::uint32_t>(ag)));
  const std::uint64_t first = geometry.first_block(static_cast<std::uint32_t>(ag)) + in_group;
  result.place = {first * geometry.block_size + result.number % per_block * geometry.inode_size,
                  geometry.inode_size};
  check_log(result.buffer_block <= geometry.size() / log_block_size &&
            result.place.offset == result.buffer_block * log_block_size + offset);
  return result;
}

bool replay_inode(const InodeItem& described, const LogItem& item, std::uint64_t lsn,
                  const Geometry& geometry, std::vector<std::byte>& inode) {
  const Bytes core = item.regions[1];
  check_cores(core, inode, geometry);
  if (geometry.is_v5 ? is_newer_inode(inode, lsn) : was_flushed_later(inode, core)) return false;
  if ((described.fields & new_owner) != 0) cannot_replay("its log gives maps to other files");

  if (geometry.is_v5) {
    copy_core_v3(core, inode);
  } else {
    copy_core(core, inode);
    store_big_endian<std::uint16_t>(std::span(inode), di_flushiter, 0);
  }
  copy_forks(described, item, geometry, inode);
  if (!geometry.is_v5) return true;
  store_big_endian(std::span(inode), di_lsn, lsn);
  seal_at(inode, inode_checksum);
  return true;
}

std::vector<std::byte> new_inode(std::uint64_t number, const Geometry& geometry) {
  constexpr std::size_t di_ino = 152;
  constexpr std::size_t di_uuid = 160;
  std::vector<std::byte> inode(geometry.inode_size);
  store_big_endian(std::span(inode), 0, inode_magic);
  inode[4] = std::byte{3};
  store_big_endian(std::span(inode), di_ino, number);
  std::copy(geometry.metadata_uuid.begin(), geometry.metadata_uuid.end(), inode.begin() + di_uuid);
  seal_at(inode, inode_checksum);
  return inode;
}

}  // namespace formats::filesystems::xfs
