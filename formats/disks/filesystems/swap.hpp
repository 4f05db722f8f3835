// Linux swap areas. All pages behind the first one are free, unless a hibernated system is in it.
// Memory and time: a page for each size that pages have.
#pragma once

#include <span>

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_swap(DiskView& volume,
                                                   MapCheck check = MapCheck::with_files);

// What probe_swap() calls the image of a hibernated system. Such a system has file systems mounted,
// here or elsewhere on the disk.
inline constexpr std::string_view hibernated_type = "swsuspend";

// The bytes at the beginning that claimed_swap_size() reads.
inline constexpr std::size_t swap_header_bytes = 65536;
// What the header claims to be the size of the area; 0: there is none.
[[nodiscard]] std::uint64_t claimed_swap_size(std::span<const std::byte> start);

}  // namespace formats::filesystems
