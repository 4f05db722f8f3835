#include "formats/images/simg/split_image.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "io/error.hpp"

namespace formats::simg {
namespace {

constexpr unsigned most_parts = 256;

// What stands before and behind the number in the first part's name.
struct Pattern {
  std::string before;
  std::string behind;
  unsigned first = 0;
};

std::optional<Pattern> pattern_of(const std::string& path) {
  if (path.ends_with(".0")) return Pattern{path.substr(0, path.size() - 1), "", 0};
  for (const std::string_view end : {"_1.img", "_1.simg"}) {
    if (!path.ends_with(end)) continue;
    const std::string before = path.substr(0, path.size() - end.size() + 1);
    return Pattern{before, std::string(end.substr(2)), 1};
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> further_parts(const std::string& path) {
  std::vector<std::string> parts;
  const auto pattern = pattern_of(path);
  if (!pattern) return parts;
  for (unsigned number = pattern->first + 1; number < most_parts; ++number) {
    std::string name = fmt::format("{}{}{}", pattern->before, number, pattern->behind);
    if (access(name.c_str(), F_OK) != 0) break;
    parts.push_back(std::move(name));
  }
  return parts;
}

SplitImage::SplitImage(std::vector<std::unique_ptr<SimgImage>> parts)
    : parts_(std::move(parts)), size_(*parts_.front()->size()) {
  check_sizes();
  std::vector<Piece> stored;
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    for (const Chunk& chunk : parts_[part]->chunks()) {
      if (chunk.kind != ChunkKind::nothing) stored.push_back({part, chunk.content});
    }
  }
  std::sort(stored.begin(), stored.end(),
            [](const Piece& a, const Piece& b) { return a.range.offset < b.range.offset; });
  std::uint64_t end = 0;
  for (const Piece& piece : stored) {
    if (piece.range.offset < end) {
      throw io::Error(
          io::ErrorKind::format, parts_[piece.part]->name(),
          fmt::format("stores what is at {} of the disk, as another part does; -f simg reads "
                      "one file alone",
                      piece.range.offset));
    }
    if (piece.range.offset > end) pieces_.push_back({none, {end, piece.range.offset - end}});
    pieces_.push_back(piece);
    end = piece.range.end();
  }
  if (end < size_) pieces_.push_back({none, {end, size_ - end}});
}

void SplitImage::check_sizes() const {
  for (const auto& part : parts_) {
    if (part->size() == size_) continue;
    throw io::Error(
        io::ErrorKind::format, part->name(),
        fmt::format("is a part of a disk of {} bytes, but {} is one of {}; -f simg reads one "
                    "file alone",
                    *part->size(), name(), size_));
  }
}

const SplitImage::Piece& SplitImage::piece_at(std::uint64_t offset) const {
  assert(offset < size_);
  const auto behind = std::upper_bound(
      pieces_.begin(), pieces_.end(), offset,
      [](std::uint64_t place, const Piece& piece) { return place < piece.range.offset; });
  return *(behind - 1);
}

io::Extent SplitImage::extent_at(std::uint64_t offset) {
  const Piece& piece = piece_at(offset);
  if (piece.part != none) return parts_[piece.part]->extent_at(offset);
  return {io::range_between(offset, piece.range.end()), io::ExtentKind::hole};
}

Placement SplitImage::placement_at(std::uint64_t offset) {
  const Piece& piece = piece_at(offset);
  if (piece.part != none) return parts_[piece.part]->placement_at(offset);
  Placement placement;
  placement.range = io::range_between(offset, piece.range.end());
  placement.zero = true;
  return placement;
}

io::Task<std::size_t> SplitImage::read(io::ByteRange range, io::Buffer buffer) {
  for (std::uint64_t done = 0; done < range.length;) {
    const Piece& piece = piece_at(range.offset + done);
    const io::ByteRange part =
        io::intersection(piece.range, {range.offset + done, range.length - done});
    const io::Buffer out = buffer.subspan(done, part.length);
    if (piece.part == none) {
      std::memset(out.bytes.data(), 0, out.bytes.size());
    } else {
      co_await parts_[piece.part]->read(part, out);
    }
    done += part.length;
  }
  co_return range.length;
}

std::vector<const io::File*> SplitImage::files() const {
  std::vector<const io::File*> files;
  files.reserve(parts_.size());
  for (const auto& part : parts_) files.push_back(part->files().front());
  return files;
}

}  // namespace formats::simg
