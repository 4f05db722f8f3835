// What lies in a container (a partition, a logical volume, a whole disk), and which of its bytes
// nobody uses. A parser starts from "all of it is used" and takes ranges away only after every
// one of its checks has passed; what it doubts is kept whole, with the reason.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/disk_view.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems {

struct FileSystem {
  std::string type;              // as blkid spells it: "ext4", "ntfs", "swap", "crypto_LUKS"
  std::string label;             // raw bytes from the disk: escape before printing
  std::string uuid;              // as blkid prints it, or empty
  std::uint64_t size = 0;        // bytes that it claims, from the container's begin on
  std::uint64_t block_size = 0;  // its allocation unit, in bytes; 0 when it has none

  // In use by nobody: ascending, disjoint, not empty, in bytes from the container's begin on.
  std::vector<io::ByteRange> free;

  // Why nothing is free, and what the user can do about it; both empty when `free` is exact.
  std::string kept_because;
  std::string remedy;
  // Nothing else is wrong than that its journal holds what a mount would bring to its place.
  bool needs_replay = false;

  // What the user should know although `free` is exact; mostly empty.
  std::string warning;

  // Bytes of the container that change whenever the file system is written to. Read again after
  // a live disk was captured: the same bytes mean that the map was true all the time.
  std::vector<io::ByteRange> witnesses;

  [[nodiscard]] bool kept_whole() const noexcept { return !kept_because.empty(); }
};

// Looks for one kind of file system. Nothing: this is not one. Damage, doubt and everything that
// is not understood is a FileSystem that is kept whole; errors of the source are thrown.
using Prober = std::optional<FileSystem> (*)(DiskView& container);

// For the probers: all of `size` bytes kept.
[[nodiscard]] FileSystem keep_whole(std::string type, std::uint64_t size, std::string because,
                                    std::string remedy = "");

}  // namespace formats::filesystems
