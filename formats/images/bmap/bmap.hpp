// A block map (bmap): an XML file beside a disk image that says which of its blocks matter, with
// their checksums. Versions 1.2 to 2.0 are read, 2.0 is written.
//
// A file of at most 64 MiB is read, in one pass and in memory of at most 14 times its length: twice
// the text, 8 times for the tree of its elements (denser ones are refused), the rest for the
// ranges.
//
// A value of this type is consistent: ranges ascend, do not meet, and lie inside the image; the
// file's checksum of itself was right.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/byte_range.hpp"
#include "io/digest.hpp"

namespace formats::bmap {

struct Range {
  io::ByteRange bytes;   // the image's; whole blocks, but for its end
  std::string checksum;  // lower-case hex; empty: none
};

struct Bmap {
  std::uint64_t image_size = 0;
  std::uint64_t block_size = 4096;
  io::DigestAlgorithm algorithm = io::DigestAlgorithm::sha256;
  std::vector<Range> mapped;

  // Whether any of `bytes` is mapped.
  [[nodiscard]] bool touches(io::ByteRange bytes) const;
  // The mapped range with the byte at `offset`, or the next one; nothing when none follows.
  [[nodiscard]] const Range* range_from(std::uint64_t offset) const;
};

// Throws Error. `name` is for messages.
Bmap parse(const std::string& name, std::span<const std::byte> text);
Bmap read(const std::string& path);

// As version 2.0, with its checksum of itself; algorithm and checksums are sha256.
std::string to_text(const Bmap& map);

// The block map that lies beside an image: image.img.xz.bmap, image.img.bmap or image.bmap.
std::optional<std::string> find_beside(const std::string& image_path);

}  // namespace formats::bmap
