#include "formats/disks/filesystems/ext/journal.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::ext {
namespace {

constexpr std::uint32_t magic = 0xC03B3998;
constexpr std::uint32_t type_descriptor = 1;
constexpr std::uint32_t type_commit = 2;
constexpr std::uint32_t type_superblock_v1 = 3;
constexpr std::uint32_t type_superblock_v2 = 4;
constexpr std::uint32_t type_revoke = 5;
constexpr std::size_t header_size = 12;
constexpr std::size_t revoke_entries_at = 16;

// Its own incompatible features, not those of the file system.
namespace journal_feature {
constexpr std::uint32_t wide = 0x2;
constexpr std::uint32_t async_commit = 0x4;
constexpr std::uint32_t checksum_v2 = 0x8;
constexpr std::uint32_t checksum_v3 = 0x10;
constexpr std::uint32_t fast_commit = 0x20;
constexpr std::uint32_t known = 0x3F;
}  // namespace journal_feature

constexpr std::uint32_t tag_escaped = 1;
constexpr std::uint32_t tag_same_uuid = 2;
constexpr std::uint32_t tag_last = 8;

[[noreturn]] void doubt(std::string_view what) {
  throw Doubt(Reason::damaged, fmt::format("its journal cannot be relied on: {}", what), run_fsck);
}

// The journal, alone of all that ext keeps, is big-endian.
std::uint32_t be32(std::span<const std::byte> bytes, std::size_t at) {
  return load_big_endian<std::uint32_t>(bytes, at);
}

// Sequence numbers wrap.
bool not_before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) >= 0; }

// The journal's superblock, checked.
struct Header {
  std::uint32_t length = 0;  // in blocks, without the part for fast commits
  std::uint32_t first = 0;
  std::uint32_t sequence = 0;
  std::uint32_t start = 0;  // 0: empty
  std::uint32_t fast_commit_blocks = 0;
  std::uint32_t seed = 0;
  bool checksum_v2 = false;
  bool checksum_v3 = false;
  bool wide = false;

  [[nodiscard]] bool checksums() const { return checksum_v2 || checksum_v3; }
  [[nodiscard]] std::size_t tag_size() const {
    if (checksum_v3) return 16;
    return 8 + (checksum_v2 ? 2 : 0) + (wide ? 4 : 0);
  }
};

void read_features(std::span<const std::byte> block, Header& header) {
  const std::uint32_t compat = be32(block, 36);
  const std::uint32_t incompat = be32(block, 40);
  const std::uint32_t ro_compat = be32(block, 44);
  if ((incompat & ~journal_feature::known) != 0 || ro_compat != 0 || compat != 0) {
    doubt("it has features that imgtool does not know");
  }
  header.checksum_v2 = (incompat & journal_feature::checksum_v2) != 0;
  header.checksum_v3 = (incompat & journal_feature::checksum_v3) != 0;
  header.wide = (incompat & journal_feature::wide) != 0;
  if (header.checksum_v2 && header.checksum_v3) doubt("two kinds of checksums at once");
  if ((incompat & journal_feature::async_commit) != 0 && !header.checksums()) {
    doubt("what is committed cannot be told without checksums");
  }
  if (header.checksums()) {
    constexpr unsigned crc32c_type = 4;
    constexpr std::size_t checksum_at = 0xFC;
    const auto superblock = block.first(1024);
    if (std::to_integer<unsigned>(block[0x50]) != crc32c_type ||
        !checksum_fits(be32(block, checksum_at),
                       crc32c_update_without(~0U, superblock, checksum_at))) {
      doubt("the checksum of its superblock is wrong");
    }
    header.seed = crc32c_update(~0U, block.subspan(48, 16));
  }
  if ((incompat & journal_feature::fast_commit) != 0) {
    header.fast_commit_blocks = be32(block, 0x54) != 0 ? be32(block, 0x54) : 256;
  }
}

Header read_header(Blocks& blocks, const FileBlocks& journal) {
  const auto block = blocks.read_from_disk({journal.at(0).first, 1});
  const std::uint32_t type = be32(block, 4);
  if (be32(block, 0) != magic || (type != type_superblock_v1 && type != type_superblock_v2)) {
    doubt("it has no superblock");
  }
  Header header;
  if (type == type_superblock_v2) read_features(block, header);
  const std::uint32_t length = be32(block, 16);
  header.first = be32(block, 20);
  header.sequence = be32(block, 24);
  header.start = be32(block, 28);
  if (be32(block, 12) != blocks.block_size() || length > journal.count ||
      header.fast_commit_blocks >= length) {
    doubt("its superblock is damaged");
  }
  header.length = length - header.fast_commit_blocks;
  if (header.first == 0 || header.first >= header.length || header.start >= header.length ||
      (header.start != 0 && header.start < header.first)) {
    doubt("its superblock is damaged");
  }
  if (be32(block, 32) != 0) doubt("its kernel gave up on it");
  return header;
}

// Reads the journal's blocks as they come, many at a time.
class JournalBlocks {
 public:
  JournalBlocks(Blocks& blocks, const FileBlocks& journal) : blocks_(blocks), journal_(journal) {}

  std::span<const std::byte> read(std::uint32_t n) {
    if (n < first_ || n - first_ >= count_) fill(n);
    return std::span<const std::byte>(window_).subspan(
        std::size_t{n - first_} * blocks_.block_size(), blocks_.block_size());
  }
  [[nodiscard]] std::uint64_t place(std::uint32_t n) const { return journal_.at(n).first; }

 private:
  void fill(std::uint32_t n) {
    const BlockRange found = journal_.at(n);
    const std::uint64_t most = std::max(1U, (1U << 19) / blocks_.block_size());
    count_ = static_cast<std::uint32_t>(std::min(found.count, most));
    window_ = blocks_.read_from_disk({found.first, count_});
    first_ = n;
  }

  Blocks& blocks_;
  const FileBlocks& journal_;
  std::vector<std::byte> window_;
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
};

// A block of the file system that a transaction wrote.
struct Change {
  std::uint64_t block;
  std::uint64_t copy;
  std::uint32_t sequence;
  bool escaped;
};

class Log {
 public:
  Log(Blocks& blocks, const FileBlocks& journal, const Header& header)
      : blocks_(blocks), journal_(blocks, journal), header_(header) {}

  Replay run() {
    at_ = header_.start == 0 ? header_.first : header_.start;
    sequence_ = header_.sequence;
    if (header_.start != 0) {
      while (read_transaction()) ++replay_.transactions;
    }
    check_fast_commits();
    apply();
    replay_.witnesses = {journal_.place(0), journal_.place(at_)};
    if (header_.fast_commit_blocks > 1) {
      replay_.witnesses.push_back(journal_.place(header_.length + 1));
    }
    return std::move(replay_);
  }

 private:
  [[nodiscard]] std::uint32_t after(std::uint32_t n) const {
    return n + 1 < header_.length ? n + 1 : header_.first;
  }

  // Moves on by a block; a log that never ends would not be one.
  void advance() {
    if (++walked_ > header_.length - header_.first) doubt("it is longer than it has room for");
    cursor_ = after(cursor_);
    if (cursor_ == header_.first && header_.fast_commit_blocks != 0) {
      doubt("it goes on at its begin, and kernels do not agree where it ends");
    }
  }

  // Nothing of a transaction without a commit counts.
  bool read_transaction() {
    cursor_ = at_;
    std::vector<Change> changes;
    std::vector<std::uint64_t> revoked;
    for (;;) {
      const auto block = journal_.read(cursor_);
      if (be32(block, 0) != magic || be32(block, 8) != sequence_) return false;
      const std::uint32_t type = be32(block, 4);
      if (type == type_commit) break;
      if (type == type_descriptor) {
        read_descriptor(block, changes);
      } else if (type == type_revoke) {
        read_revokes(block, revoked);
        advance();
      } else {
        return false;
      }
    }
    check_commit(journal_.read(cursor_));
    advance();
    changes_.insert(changes_.end(), changes.begin(), changes.end());
    for (const std::uint64_t block : revoked) revoked_[block] = sequence_;
    at_ = cursor_;
    ++sequence_;
    return true;
  }

  void check_tail(std::span<const std::byte> block) const {
    if (!header_.checksums()) return;
    const std::size_t tail = block.size() - 4;
    if (!checksum_fits(be32(block, tail), crc32c_update_without(header_.seed, block, tail))) {
      doubt("a checksum in it is wrong");
    }
  }

  void check_commit(std::span<const std::byte> block) const {
    constexpr std::size_t checksum_at = 16;
    if (!header_.checksums()) return;
    if (!checksum_fits(be32(block, checksum_at),
                       crc32c_update_without(header_.seed, block, checksum_at))) {
      doubt("the checksum of a commit is wrong");
    }
  }

  struct Tag {
    std::uint64_t block;
    std::uint32_t flags;
    std::uint32_t checksum;
  };

  [[nodiscard]] Tag parse_tag(std::span<const std::byte> bytes) const {
    Tag tag{be32(bytes, 0), 0, 0};
    if (header_.checksum_v3) {
      tag.flags = be32(bytes, 4);
      tag.checksum = be32(bytes, 12);
    } else {
      tag.checksum = load_big_endian<std::uint16_t>(bytes, 4);
      tag.flags = load_big_endian<std::uint16_t>(bytes, 6);
    }
    if (header_.wide) tag.block |= std::uint64_t{be32(bytes, 8)} << 32;
    return tag;
  }

  // Reads a descriptor and steps over the blocks that it describes.
  void read_descriptor(std::span<const std::byte> descriptor, std::vector<Change>& changes) {
    check_tail(descriptor);
    const std::vector<std::byte> tags(descriptor.begin(), descriptor.end());
    const std::size_t end = tags.size() - (header_.checksums() ? 4 : 0);
    advance();
    for (std::size_t at = header_size; at + header_.tag_size() <= end;) {
      const Tag tag = parse_tag(std::span(tags).subspan(at, header_.tag_size()));
      at += header_.tag_size() + ((tag.flags & tag_same_uuid) != 0 ? 0 : 16);
      if (tag.block >= blocks_.count()) doubt("it writes behind the end");
      changes.push_back(
          Change{tag.block, journal_.place(cursor_), sequence_, (tag.flags & tag_escaped) != 0});
      check_content(tag);
      advance();
      if ((tag.flags & tag_last) != 0) return;
    }
  }

  void check_content(const Tag& tag) {
    if (!header_.checksums()) return;
    std::array<std::byte, 4> sequence{};
    store_big_endian(std::span(sequence), 0, sequence_);
    const std::uint32_t sum =
        crc32c_update(crc32c_update(header_.seed, sequence), journal_.read(cursor_));
    if (!checksum_fits(tag.checksum, header_.checksum_v3 ? sum : sum & 0xFFFF)) {
      doubt("the checksum of a block in it is wrong");
    }
  }

  void read_revokes(std::span<const std::byte> block, std::vector<std::uint64_t>& revoked) const {
    check_tail(block);
    const std::size_t entry = header_.wide ? 8 : 4;
    const std::size_t end = be32(block, 12);
    if (end < revoke_entries_at || end > block.size()) doubt("a revocation in it is damaged");
    for (std::size_t at = revoke_entries_at; at + entry <= end; at += entry) {
      revoked.push_back(header_.wide ? load_big_endian<std::uint64_t>(block, at) : be32(block, at));
    }
  }

  // Fast commits are changes of another kind, behind the log. Left over ones are older than it.
  // They begin a block behind the log's end: the kernel counts its last block once more.
  void check_fast_commits() {
    const std::uint32_t checked = std::min(header_.fast_commit_blocks, 2U);
    for (std::uint32_t i = 0; i < checked; ++i) {
      if (has_fast_commit(journal_.read(header_.length + i))) {
        doubt("it has fast commits, which imgtool does not read");
      }
    }
  }

  [[nodiscard]] bool has_fast_commit(std::span<const std::byte> block) const {
    constexpr std::uint16_t tag_head = 9;
    constexpr std::uint16_t head_length = 8;
    const bool head = load_little_endian<std::uint16_t>(block, 0) == tag_head &&
                      load_little_endian<std::uint16_t>(block, 2) == head_length;
    if (head && !not_before(load_little_endian<std::uint32_t>(block, 8), sequence_)) return false;
    return std::any_of(block.begin(), block.end(), [](std::byte b) { return b != std::byte{0}; });
  }

  void apply() {
    for (const Change& change : changes_) {
      const auto found = revoked_.find(change.block);
      if (found != revoked_.end() && not_before(found->second, change.sequence)) continue;
      blocks_.replace(change.block, change.copy, change.escaped);
    }
  }

  Blocks& blocks_;
  JournalBlocks journal_;
  const Header& header_;
  std::uint32_t at_ = 0;      // where the next transaction begins
  std::uint32_t cursor_ = 0;  // where we read
  std::uint32_t sequence_ = 0;
  std::uint32_t walked_ = 0;
  std::vector<Change> changes_;
  std::map<std::uint64_t, std::uint32_t> revoked_;  // the last transaction that did it
  Replay replay_;
};

}  // namespace

Replay check_empty_journal(Blocks& blocks, const FileBlocks& journal) {
  const Header header = read_header(blocks, journal);
  if (header.start != 0) {
    throw Doubt(Reason::damaged, "is marked as unmounted, and its journal is not empty", run_fsck);
  }
  return {.witnesses = {journal.at(0).first}, .transactions = 0};
}

Replay replay_journal(Blocks& blocks, const FileBlocks& journal) {
  const Header header = read_header(blocks, journal);
  return Log(blocks, journal, header).run();
}

}  // namespace formats::filesystems::ext
