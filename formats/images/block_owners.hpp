// Whether the blocks of an image lie in bytes of their own: not in its headers and tables, not past
// its end, and no two in the same place. Without that a small file could say that it holds any
// amount of content.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/images/block_check.hpp"
#include "io/byte_range.hpp"

namespace formats {

// For formats whose one table is read as a whole when the image is opened.
//
// Takes 8 bytes a block, and no more than the file could have.
class BlockOwners {
 public:
  // Blocks that take `block_bytes` each, in a file of `file_size` bytes at `path`.
  // `check`, unless it is null, hears of faults, which are thrown else.
  BlockOwners(std::string path, std::uint64_t file_size, std::uint64_t block_bytes,
              BlockCheck* check = nullptr)
      : path_(std::move(path)), file_size_(file_size), block_bytes_(block_bytes), check_(check) {}

  // No block may lie in `range`: there is `what`, such as "the header".
  void reserve(io::ByteRange range, std::string_view what);

  // Block `index` is at `offset`, says the table's entry at `entry_at`, and its first `needed`
  // bytes are content. Throws Error.
  void add(std::uint64_t offset, std::uint64_t needed, std::uint64_t index, std::uint64_t entry_at);

  // When all were added. Throws Error.
  void check();

  // After that: tells the check what is allocated, and the whole blocks that would fit between what
  // has an owner.
  void count_leaks();

 private:
  struct Reserved {
    io::ByteRange range;
    std::string_view what;
  };

  std::string path_;
  std::uint64_t file_size_;
  std::uint64_t block_bytes_;
  BlockCheck* check_;
  std::vector<Reserved> reserved_;
  std::vector<std::uint64_t> offsets_;
};

// For formats with tables of tables, which are read when they are met: remembers which clusters of
// the file are in use, in one bit each, at most 64 MiB of them.
class ClusterOwners {
 public:
  // Throws ErrorKind::unsupported where the file has more clusters than that.
  ClusterOwners(const std::string& path, std::uint64_t file_size, std::uint64_t cluster_size);

  // Takes the clusters that `range` touches; it lies inside the file. False: one of them was taken
  // already, and some may be taken now.
  [[nodiscard]] bool take(io::ByteRange range);

  // Whole clusters of a file of `file_size` bytes that are not taken, and where the last one that
  // is taken ends.
  [[nodiscard]] std::uint64_t count_free(std::uint64_t file_size) const;
  [[nodiscard]] std::uint64_t end() const;

 private:
  std::uint64_t cluster_size_;
  std::vector<std::uint64_t> taken_;
};

}  // namespace formats
