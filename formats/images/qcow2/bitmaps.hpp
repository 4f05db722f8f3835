// The persistent bitmaps of a qcow2 image: their names and where their tables are. At most 65535,
// in a directory of at most 64 MiB; memory is below four times what is read, time linear in it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/tables.hpp"

namespace formats::qcow2 {

// qemu's limit.
inline constexpr std::uint64_t longest_bitmap_name = 1023;

struct Bitmap {
  std::string name;  // untrusted bytes
  HostOffset table_offset;
  std::uint32_t table_entries = 0;
  std::uint32_t granularity_bits = 16;  // 9 to 31
  bool in_use = false;                  // was not closed: its content cannot be trusted
  bool automatic = false;               // recorded again as soon as the image is written
};

// Those of the header's directory, all checked; empty without one. Throws Error.
std::vector<Bitmap> read_bitmaps(const TableReader& tables, const Header& header);

// The length of the table of a bitmap for the disk; 0 for an empty one.
[[nodiscard]] std::uint64_t bitmap_table_entries(const Header& header,
                                                 std::uint32_t granularity_bits);

// The directory that read_bitmaps() reads these from.
[[nodiscard]] std::vector<std::byte> make_bitmap_directory(const std::vector<Bitmap>& bitmaps);

}  // namespace formats::qcow2
