// A large disk of zeros with a few bytes here and there, in a small file: the input of the fuzz
// targets of file systems, and a fixture of their tests.
//
//     size of the disk: u64, then any number of: offset u64, length u32, `length` bytes
//
// All little-endian. What is cut short, or reaches past the disk's end, is as short as it is.
#pragma once

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "formats/bytes/little_endian.hpp"
#include "io/source.hpp"

namespace tests {

class OverlayDisk final : public io::Source {
 public:
  static constexpr std::uint64_t largest = std::uint64_t{1} << 42;

  explicit OverlayDisk(std::span<const std::byte> description) {
    if (description.size() < 8) return;
    size_ = formats::load_little_endian<std::uint64_t>(description, 0) % largest;
    for (auto left = description.subspan(8); left.size() >= 12;) {
      const auto offset = formats::load_little_endian<std::uint64_t>(left, 0);
      const std::size_t length = std::min<std::size_t>(
          formats::load_little_endian<std::uint32_t>(left, 8), left.size() - 12);
      if (offset < size_) write(offset, left.subspan(12, length));
      left = left.subspan(12 + length);
    }
  }

  // Throws std::ios_base::failure.
  static OverlayDisk from_file(const std::string& path) {
    std::ifstream file;
    file.exceptions(std::ios::badbit | std::ios::failbit);
    file.open(path, std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
    return OverlayDisk(std::as_bytes(std::span(content)));
  }

  // Called with each range that was read, and may change the bytes.
  std::function<void(io::ByteRange range, std::span<std::byte> bytes)> on_read;

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return {io::range_between(offset, size_), io::ExtentKind::data};
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    const auto into = buffer.bytes.first(range.length);
    std::fill(into.begin(), into.end(), std::byte{0});
    for (const Piece& piece : pieces_) {
      const io::ByteRange shared = io::intersection(range, {piece.offset, piece.bytes.size()});
      const auto from = std::span(piece.bytes);
      if (shared.empty()) continue;
      std::ranges::copy(from.subspan(shared.offset - piece.offset, shared.length),
                        into.subspan(shared.offset - range.offset).begin());
    }
    if (on_read) on_read(range, into);
    co_return range.length;
  }

  // Over what is there.
  void write(std::uint64_t offset, std::span<const std::byte> bytes) {
    pieces_.push_back({offset, {bytes.begin(), bytes.end()}});
  }

  // The ranges that were described or written.
  [[nodiscard]] std::vector<io::ByteRange> content() const {
    std::vector<io::ByteRange> ranges;
    ranges.reserve(pieces_.size());
    for (const Piece& piece : pieces_) ranges.push_back({piece.offset, piece.bytes.size()});
    return ranges;
  }

 private:
  struct Piece {
    std::uint64_t offset;
    std::vector<std::byte> bytes;
  };
  std::string name_ = "overlay";
  std::uint64_t size_ = 0;
  std::vector<Piece> pieces_;
};

}  // namespace tests
