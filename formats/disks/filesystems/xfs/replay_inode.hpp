// An inode as the log has it: its core in the order of the machine's bytes, its forks mostly as
// they are on the disk.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/disks/filesystems/xfs/log_transactions.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::xfs {

// What struct xfs_inode_log_format says.
struct InodeItem {
  std::uint64_t number = 0;
  std::uint32_t fields = 0;
  std::uint64_t buffer_block = 0;  // in units of the log's 512 bytes
  std::uint64_t buffer_blocks = 0;
  io::ByteRange place;  // of the inode, in bytes of the volume
};

// Throws Doubt.
[[nodiscard]] InodeItem parse_inode_item(const LogItem& item, const Geometry& geometry);

// Changes `inode`, which is as it is before, to what the item says; of the core only what tells
// where a file's blocks are. False: it is newer than `lsn` already (version 4: it was flushed more
// often than the item knows), and stays. Throws Doubt.
[[nodiscard]] bool replay_inode(const InodeItem& described, const LogItem& item, std::uint64_t lsn,
                                const Geometry& geometry, std::vector<std::byte>& inode);

// One that is free, as a replay makes it in a new chunk.
[[nodiscard]] std::vector<std::byte> new_inode(std::uint64_t number, const Geometry& geometry);

}  // namespace formats::filesystems::xfs
