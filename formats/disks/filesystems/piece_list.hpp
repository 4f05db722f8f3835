// Puts together the map of a file: pieces that follow each other on the volume, too, become one.
#pragma once

#include <algorithm>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/files.hpp"

namespace formats::filesystems {

// `length` bytes at `offset` of the file, which lie at `place`; what lies behind the file's end is
// left out. Pieces come in ascending order. Throws Doubt where there are too many.
inline void append_piece(FileMap& map, std::uint64_t offset, std::uint64_t place,
                         std::uint64_t length) {
  if (offset >= map.size) return;
  length = std::min(length, map.size - offset);
  if (!map.pieces.empty()) {
    FilePiece& last = map.pieces.back();
    if (last.coding == Coding::none && last.range.end() == offset &&
        last.place + last.range.length == place) {
      last.range.length += length;
      return;
    }
  }
  if (map.pieces.size() == most_pieces) {
    throw Doubt(Reason::unsupported, "has a file in more pieces than imgtool reads");
  }
  FilePiece piece;
  piece.range = {offset, length};
  piece.place = place;
  map.pieces.push_back(piece);
}

}  // namespace formats::filesystems
