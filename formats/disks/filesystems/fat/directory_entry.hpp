// The entries of FAT directories.
#pragma once

#include <cstddef>
#include <cstdint>

namespace formats::filesystems::fat {

inline constexpr std::size_t entry_bytes = 32;
inline constexpr std::uint64_t longest_directory = 65536 * entry_bytes;

// Bits at offset 11; all of long_name's: a piece of a long name.
enum Attribute : unsigned {
  read_only = 0x01,
  volume_label = 0x08,
  directory = 0x10,
  long_name = 0x0f,
};

}  // namespace formats::filesystems::fat
