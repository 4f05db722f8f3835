#include "formats/disks/file_source.hpp"

#include <algorithm>

namespace formats {

using filesystems::Coding;
using filesystems::FileMap;
using filesystems::FilePiece;

bool FileSource::is_plain(const FileMap& map) {
  return map.in_line.empty() &&
         std::all_of(map.pieces.begin(), map.pieces.end(),
                     [](const FilePiece& piece) { return piece.coding == Coding::none; });
}

FileSource::Pieces::const_iterator FileSource::piece_at(std::uint64_t offset) const {
  return std::partition_point(map_.pieces.begin(), map_.pieces.end(),
                              [&](const FilePiece& piece) { return piece.range.end() <= offset; });
}

io::Extent FileSource::extent_at(std::uint64_t offset) {
  const auto piece = piece_at(offset);
  if (piece == map_.pieces.end()) {
    return {io::range_between(offset, map_.size), io::ExtentKind::hole};
  }
  if (offset < piece->range.offset) {
    return {io::range_between(offset, piece->range.offset), io::ExtentKind::hole};
  }
  return {io::range_between(offset, piece->range.end()), io::ExtentKind::data};
}

io::Task<std::size_t> FileSource::read(io::ByteRange range, io::Buffer buffer) {
  const auto out = buffer.bytes.first(range.length);
  std::fill(out.begin(), out.end(), std::byte{0});
  for (auto piece = piece_at(range.offset);
       piece != map_.pieces.end() && piece->range.offset < range.end(); ++piece) {
    const io::ByteRange part = io::intersection(piece->range, range);
    const io::ByteRange place{volume_.begin() + piece->place + (part.offset - piece->range.offset),
                              part.length};
    const io::AlignedMemory memory(place.length);
    (void)co_await volume_.source().read(place, memory.buffer());
    std::copy_n(memory.bytes().begin(), part.length,
                out.begin() + static_cast<std::ptrdiff_t>(part.offset - range.offset));
  }
  co_return range.length;
}

std::vector<io::ByteRange> FileSource::places_of(io::ByteRange range) const {
  std::vector<io::ByteRange> places;
  for (auto piece = piece_at(range.offset);
       piece != map_.pieces.end() && piece->range.offset < range.end(); ++piece) {
    const io::ByteRange part = io::intersection(piece->range, range);
    places.push_back({piece->place + (part.offset - piece->range.offset), part.length});
  }
  return places;
}

}  // namespace formats
