#include "imgtool/jobs/file_content.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/lznt1.hpp"
#include "formats/bytes/lzo.hpp"
#include "formats/images/inflate.hpp"
#include "formats/images/zst/zstd.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

using formats::filesystems::Coding;
using formats::filesystems::FileMap;
using formats::filesystems::FilePiece;
using Bytes = std::span<const std::byte>;

constexpr std::uint64_t at_once = io::MiB;

// Bytes of `out` that were filled; nothing: it is damaged.
std::optional<std::size_t> decode_zstd(Bytes stream, std::span<std::byte> out) {
  const auto codec = formats::zst::make_zstd_codec();
  codec->begin(stream);
  std::size_t filled = 0;
  while (filled < out.size()) {
    const auto step = codec->step(stream, out.subspan(filled));
    if (!step.fault.empty()) return std::nullopt;
    stream = stream.subspan(step.consumed);
    filled += step.produced;
    if (step.member_ended) break;
    if (step.consumed == 0 && step.produced == 0) return std::nullopt;
  }
  return filled;
}

std::optional<std::size_t> decode(Coding coding, Bytes stream, std::span<std::byte> out) {
  switch (coding) {
    case Coding::zlib:
      return formats::inflate_zlib(stream, out);
    case Coding::zstd:
      return decode_zstd(stream, out);
    case Coding::lzo:
      return formats::decode_btrfs_lzo(stream, out);
    case Coding::lznt1:
      return formats::decode_lznt1(stream, out);
    case Coding::none:
      break;
  }
  return std::nullopt;
}

class ContentReader {
 public:
  ContentReader(formats::DiskView& volume, const FileMap& map, const ContentVisitor& visit)
      : volume_(volume), map_(map), visit_(visit) {}

  void run() {
    in_line();
    for (const FilePiece& piece : map_.pieces) {
      if (piece.coding == Coding::none) {
        plain(piece);
      } else {
        coded(piece);
      }
    }
  }

 private:
  void in_line() {
    if (map_.in_line.empty()) return;
    if (map_.in_line_coding == Coding::none) return visit_(0, map_.in_line);
    std::vector<std::byte> out(map_.in_line_decoded);
    if (!decode(map_.in_line_coding, map_.in_line, out)) {
      throw io::Error::format(volume_.name(), volume_.begin(),
                              "the file system that begins here has damaged compressed data");
    }
    visit_(0, Bytes(out).first(std::min<std::uint64_t>(out.size(), map_.size)));
  }

  void plain(const FilePiece& piece) {
    for (std::uint64_t at = 0; at < piece.range.length; at += at_once) {
      const std::uint64_t count = std::min(at_once, piece.range.length - at);
      visit_(piece.range.offset + at, volume_.read(piece.place + at, count));
    }
  }

  void coded(const FilePiece& piece) {
    const std::uint64_t place = volume_.begin() + piece.place;
    if (piece.coded > at_once || piece.decoded > at_once) {
      throw io::Error::format(volume_.name(), place, "compressed data is longer than any can be");
    }
    std::vector<std::byte> stream;
    if (piece.parts == 0) {
      stream = volume_.read(piece.place, piece.coded);
    } else {
      for (std::uint32_t i = 0; i < piece.parts; ++i) {
        const io::ByteRange part = map_.parts[piece.first_part + i];
        const auto bytes = volume_.read(part.offset, part.length);
        stream.insert(stream.end(), bytes.begin(), bytes.end());
      }
    }
    std::vector<std::byte> out(piece.decoded);
    if (!decode(piece.coding, stream, out)) {
      throw io::Error::format(volume_.name(), place,
                              "the compressed data that begins here is damaged");
    }
    visit_(piece.range.offset, Bytes(out).subspan(piece.skipped, piece.range.length));
  }

  formats::DiskView& volume_;
  const FileMap& map_;
  const ContentVisitor& visit_;
};

}  // namespace

void read_content(formats::DiskView& volume, const FileMap& map, const ContentVisitor& visit) {
  ContentReader(volume, map, visit).run();
}

}  // namespace imgtool
