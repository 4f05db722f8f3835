#include "formats/disks/filesystems/xfs/log_record.hpp"

#include <algorithm>
#include <map>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

namespace xlog_rec_header {
enum Field : std::size_t {
  h_version = 8,
  h_len = 12,
  h_lsn = 16,  // cycle, block
  h_tail_lsn = 24,
  h_crc = 32,
  h_num_logops = 40,
  h_cycle_data = 44,
  h_fmt = 300,
  h_fs_uuid = 304,
  h_size = 320,
};
}  // namespace xlog_rec_header

constexpr std::uint32_t header_reach = 32768;  // bytes of content that one header block serves
constexpr std::uint32_t words_per_header = header_reach / log_block_size;
constexpr std::uint32_t largest_record = 256 * 1024;
constexpr std::uint32_t little_endian_linux = 1;

[[noreturn]] void damaged() {
  throw Doubt(Reason::damaged, "its log is damaged",
              "mount and unmount it, or repair it (xfs_repair)");
}

std::uint32_t header_blocks(Bytes header, const Geometry& geometry) {
  const std::uint32_t size = u32(header, xlog_rec_header::h_size);
  if (!geometry.has_log_v2 || (u32(header, xlog_rec_header::h_version) & 2) == 0 ||
      size <= header_reach)
    return 1;
  if (size > largest_record) damaged();
  return (size + header_reach - 1) / header_reach;
}

// The checksum covers the header as the kernel's compiler laid it out, and that is four bytes
// shorter on 32-bit machines.
bool has_right_sum(Bytes headers, Bytes content, const Geometry& geometry, std::size_t laid_out) {
  constexpr std::size_t extension_size = 260;
  std::uint32_t state =
      crc32c_update_without(~std::uint32_t{0}, headers.first(laid_out), xlog_rec_header::h_crc);
  if (geometry.has_log_v2) {
    const std::size_t used = (content.size() + header_reach - 1) / header_reach;
    for (std::size_t i = 1; i < used; ++i) {
      state = crc32c_update(state, headers.subspan(i * log_block_size, extension_size));
    }
  }
  state = crc32c_update(state, content);
  return checksum_fits(load_little_endian<std::uint32_t>(headers, xlog_rec_header::h_crc), ~state);
}

// mkfs.xfs and xfs_repair leave the checksum out, old kernels too.
void check_sum(Bytes headers, Bytes content, const Geometry& geometry) {
  if (u32(headers, xlog_rec_header::h_crc) == 0) return;
  if (!has_right_sum(headers, content, geometry, 328) &&
      !has_right_sum(headers, content, geometry, 324)) {
    damaged();
  }
}

// The first word of each block had to give way to the cycle; the headers keep it.
void restore_first_words(Bytes headers, std::vector<std::byte>& content) {
  for (std::uint32_t i = 0; std::size_t{i} * log_block_size < content.size(); ++i) {
    const std::size_t header = i / words_per_header;
    const std::size_t in_header = std::size_t{4} * (i % words_per_header);
    const std::size_t at = header == 0 ? xlog_rec_header::h_cycle_data + in_header
                                       : header * log_block_size + 4 + in_header;
    const auto word = headers.subspan(at, 4);
    const std::size_t to = std::size_t{i} * log_block_size;
    std::copy_n(word.begin(), std::min<std::size_t>(4, content.size() - to),
                content.begin() + static_cast<std::ptrdiff_t>(to));
  }
}

void check_header(Bytes header, std::uint32_t block, const Geometry& geometry) {
  const std::uint32_t version = u32(header, xlog_rec_header::h_version);
  if (u32(header, 0) != log_record_magic || (version != 1 && version != 2) ||
      u32(header, xlog_rec_header::h_len) == 0 ||
      u32(header, xlog_rec_header::h_len) > largest_record ||
      u32(header, xlog_rec_header::h_lsn) != u32(header, 4) ||
      u32(header, xlog_rec_header::h_lsn + 4) != block) {
    damaged();
  }
  if (!equals(header.subspan(xlog_rec_header::h_fs_uuid, 16), geometry.uuid)) {
    throw Doubt(Reason::damaged, "its log is of another file system", std::string(repair));
  }
}

// --- operations ---

constexpr std::size_t operation_header_size = 12;

enum OperationFlags : unsigned {
  starts_transaction = 0x1,
  commits_transaction = 0x2,
  unmounts = 0x20,
};

// Follows the regions of transactions. Each has a header; then come items, each with a region
// that describes it and tells how many regions it has.
class SuperblockOnly {
 public:
  bool accept(std::uint32_t transaction, unsigned flags, Bytes region) {
    // A region that is continued in the next record, and anything unusual, is not taken apart.
    if ((flags & ~(starts_transaction | commits_transaction)) != 0) return false;
    if ((flags & starts_transaction) != 0) {
      return region.empty() && open_.emplace(transaction, Transaction{}).second;
    }
    const auto found = open_.find(transaction);
    if (found == open_.end()) return false;
    if ((flags & commits_transaction) != 0) {
      const bool is_whole = found->second.has_header && found->second.regions_left == 0;
      open_.erase(found);
      return is_whole && region.empty();
    }
    return accept(found->second, region);
  }

  [[nodiscard]] bool is_complete() const { return open_.empty(); }

 private:
  struct Transaction {
    bool has_header = false;
    unsigned regions_left = 0;
  };

  static bool accept(Transaction& transaction, Bytes region) {
    if (!transaction.has_header) {
      constexpr std::uint32_t magic = 0x5452414e;
      transaction.has_header = true;
      return region.size() == 16 && load_little_endian<std::uint32_t>(region, 0) == magic;
    }
    if (transaction.regions_left > 0) {
      --transaction.regions_left;
      return true;
    }
    return describes_superblock(transaction, region);
  }

  // A buffer item (xfs_buf_log_format) for the disk's block 0.
  static bool describes_superblock(Transaction& transaction, Bytes region) {
    constexpr std::uint16_t buffer_item = 0x123c;
    if (region.size() < 24) return false;
    const auto regions = load_little_endian<std::uint16_t>(region, 2);
    if (load_little_endian<std::uint16_t>(region, 0) != buffer_item || regions == 0) return false;
    transaction.regions_left = regions - 1u;
    return load_little_endian<std::uint64_t>(region, 8) == 0;
  }

  std::map<std::uint32_t, Transaction> open_;
};

}  // namespace

LogRecord read_record(LogRing& ring, std::uint32_t block, const Geometry& geometry) {
  const std::vector<std::byte> header = ring.read(block, 1);
  check_header(header, block, geometry);
  const std::uint32_t headers = header_blocks(header, geometry);
  const std::uint32_t length = u32(header, xlog_rec_header::h_len);
  const std::uint32_t content_blocks = (length + log_block_size - 1) / log_block_size;
  if (headers + content_blocks > ring.blocks() || length > headers * header_reach) damaged();

  const std::vector<std::byte> header_bytes = ring.read(block, headers);
  LogRecord record;
  record.block = block;
  record.blocks = headers + content_blocks;
  record.cycle = u32(header, 4);
  record.tail_cycle = u32(header, xlog_rec_header::h_tail_lsn);
  record.tail_block = u32(header, xlog_rec_header::h_tail_lsn + 4);
  record.operations = u32(header, xlog_rec_header::h_num_logops);
  record.is_little_endian = u32(header, xlog_rec_header::h_fmt) == little_endian_linux;
  record.content = ring.read(ring.wrapped(std::uint64_t{block} + headers), content_blocks);
  record.content.resize(length);
  check_sum(header_bytes, record.content, geometry);
  restore_first_words(header_bytes, record.content);
  return record;
}

bool is_unmount(const LogRecord& record) {
  return record.operations == 1 && record.content.size() >= operation_header_size &&
         (std::to_integer<unsigned>(record.content[9]) & unmounts) != 0;
}

bool changes_superblock_only(const LogRecord& record) {
  if (!record.is_little_endian) return false;
  SuperblockOnly follower;
  Bytes left = record.content;
  for (std::uint32_t i = 0; i < record.operations; ++i) {
    if (left.size() < operation_header_size) return false;
    const std::uint32_t transaction = u32(left, 0);
    const std::uint32_t length = u32(left, 4);
    const auto flags = std::to_integer<unsigned>(left[9]);
    left = left.subspan(operation_header_size);
    if (length > left.size()) return false;
    if (!follower.accept(transaction, flags, left.first(length))) return false;
    left = left.subspan(length);
  }
  return follower.is_complete();
}

}  // namespace formats::filesystems::xfs
