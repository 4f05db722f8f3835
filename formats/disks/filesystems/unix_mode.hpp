// The mode of a file, as ext, XFS and btrfs store it.
#pragma once

#include "formats/disks/filesystems/files.hpp"

namespace formats::filesystems {

[[nodiscard]] inline NodeKind kind_of_mode(unsigned mode) {
  switch (mode & 0xF000U) {
    case 0x1000:
      return NodeKind::pipe;
    case 0x2000:
      return NodeKind::character_device;
    case 0x4000:
      return NodeKind::folder;
    case 0x6000:
      return NodeKind::block_device;
    case 0x8000:
      return NodeKind::file;
    case 0xA000:
      return NodeKind::link;
    case 0xC000:
      return NodeKind::socket;
    default:
      return NodeKind::other;
  }
}

}  // namespace formats::filesystems
