// The journal of ext3 and ext4 (jbd2), replayed in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/disks/filesystems/ext/blocks.hpp"
#include "formats/disks/filesystems/ext/inode_blocks.hpp"
#include "formats/disks/filesystems/ext/superblock.hpp"

namespace formats::filesystems::ext {

struct Replay {
  // Blocks that change with the next transaction: the journal's superblock, and where the next
  // one begins.
  std::vector<std::uint64_t> witnesses;
  std::uint32_t transactions = 0;
};

// The most blocks that a journal has.
inline constexpr std::uint64_t most_journal_blocks = 10'240'000;

// For a file system that was unmounted. Throws Doubt when the journal is not empty.
[[nodiscard]] Replay check_empty_journal(Blocks& blocks, const FileBlocks& journal);

// Makes `blocks` read as after the replay of all complete transactions. Throws Doubt when anything
// in the journal is not as it must be.
[[nodiscard]] Replay replay_journal(Blocks& blocks, const FileBlocks& journal);

}  // namespace formats::filesystems::ext
