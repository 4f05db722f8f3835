// Offsets in an inode of XFS (struct xfs_dinode), by the names of its fields.
#pragma once

#include <cstddef>

namespace formats::filesystems::xfs {

enum InodeField : std::size_t {
  di_magic = 0,
  di_mode = 2,
  di_version = 4,
  di_format = 5,
  di_onlink = 6,  // of version 1
  di_uid = 8,
  di_gid = 12,
  di_nlink = 16,
  di_big_nextents = 24,
  di_mtime = 40,
  di_size = 56,
  di_nblocks = 64,
  di_nextents = 76,  // or di_big_anextents
  di_anextents = 80,
  di_forkoff = 82,  // in units of 8 bytes
  di_aformat = 83,
  di_flags = 90,
  di_flags2 = 120,
  di_ino = 152,
  di_uuid = 160,
};

}  // namespace formats::filesystems::xfs
