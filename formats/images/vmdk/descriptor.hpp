// The descriptor of a VMware disk: text that says what kind of disk it is, which files hold it and
// which disk lies below it.
//
// Source: VMware, Virtual Disk Format 5.0, "The Descriptor File".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/images/content_identity.hpp"

namespace formats::vmdk {

inline constexpr std::uint64_t most_descriptor_bytes = std::uint64_t{1} << 20;
inline constexpr std::size_t most_extents = 4096;
inline constexpr std::uint32_t no_parent = 0xffffffff;

// A line that names a part of the disk. All of it is untrusted.
struct ExtentLine {
  std::uint64_t sectors = 0;
  std::string type;          // in small letters: "sparse", "flat", "zero" ...
  std::string file;          // may be empty
  std::uint64_t offset = 0;  // of a flat one: sectors, in the file
};

struct Descriptor {
  std::string create_type;  // "monolithicSparse", "streamOptimized" ...; may be empty
  std::uint32_t content_id = 0;
  std::uint32_t parent_id = no_parent;
  std::string parent;               // the file name that it gives; may be empty
  std::vector<ExtentLine> extents;  // at most most_extents and one more
  std::uint64_t sectors = 0;        // of these; capped where they add up to more than 64 bits
};

// Reads what is known in `text`, up to a NUL, in any case and with any line ends; the rest is
// nothing to go by.
[[nodiscard]] Descriptor parse_descriptor(std::string_view text);

// That of a stream-optimized disk of so many sectors, in a file of its own. A `file_name` that
// would break the text is replaced; `id` is what the content is called by. Less than 10 KiB.
[[nodiscard]] std::string stream_descriptor(std::uint64_t sectors, std::string_view file_name,
                                            const Uuid& id);

}  // namespace formats::vmdk
