// The central directory of a zip archive, read and checked: which members there are, and where.
//
// Nothing of a local header is believed but where its data begins. Names are names: no file is ever
// made of them.
//
// Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5. All numbers are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/byte_range.hpp"
#include "io/file.hpp"

namespace formats::zip {

[[nodiscard]] bool has_magic(std::span<const std::byte> start);

struct Member {
  std::string name;
  std::uint16_t method = 0;
  bool encrypted = false;
  std::uint32_t crc = 0;
  std::uint64_t packed_bytes = 0;
  std::uint64_t size = 0;       // of the content
  std::uint64_t header_at = 0;  // of its local header, in the file
  std::uint64_t listed_at = 0;  // of its entry in the directory, in the file
};

struct Directory {
  std::vector<Member> members;
  std::uint64_t begin = 0;  // in the file; members end before it
};

// Throws Error.
[[nodiscard]] Directory read_directory(const io::File& file);

// Where the packed bytes of one of the directory's members lie. Throws Error, also where they share
// a byte with those of another member: such a file says that it holds more than it does.
[[nodiscard]] io::ByteRange data_of(const io::File& file, const Directory& directory,
                                    const Member& member);

}  // namespace formats::zip
