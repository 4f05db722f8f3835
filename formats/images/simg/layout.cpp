#include "formats/images/simg/layout.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"

namespace formats::simg {
namespace {

constexpr std::uint32_t magic = 0xED26FF3A;
constexpr std::uint64_t header_bytes = 28;
constexpr std::uint64_t chunk_header_bytes = 12;
// An image of 16 TiB in chunks of 4 MiB; each takes 40 bytes of memory.
constexpr std::uint32_t most_chunks = std::uint32_t{1} << 22;
constexpr std::uint32_t largest_block = 16 * io::MiB;
constexpr std::uint64_t payload_word_bytes = 4;  // of a fill, and of a checksum

enum ChunkType : std::uint16_t {
  raw_type = 0xCAC1,
  fill_type = 0xCAC2,
  nothing_type = 0xCAC3,
  checksum_type = 0xCAC4,
};

struct Header {
  std::uint64_t bytes = 0;
  std::uint64_t chunk_bytes = 0;
  std::uint32_t block_size = 0;
  std::uint32_t blocks = 0;
  std::uint32_t chunks = 0;
  std::uint32_t checksum = 0;
};

constexpr std::uint64_t checksum_at = 24;

[[noreturn]] void fail(const io::File& file, std::uint64_t offset, const std::string& text) {
  throw io::Error::format(file.path(), offset, text);
}

Header read_header(const io::File& file) {
  std::array<std::byte, header_bytes> bytes{};
  if (file.read_at(0, bytes) != bytes.size()) fail(file, 0, "is too short for a sparse image");
  if (load_little_endian<std::uint32_t>(bytes, 0) != magic) fail(file, 0, "is no sparse image");
  const auto major = load_little_endian<std::uint16_t>(bytes, 4);
  if (major != 1) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    fmt::format("is a sparse image of version {}; imgtool knows version 1", major));
  }
  Header header;
  header.bytes = load_little_endian<std::uint16_t>(bytes, 8);
  header.chunk_bytes = load_little_endian<std::uint16_t>(bytes, 10);
  header.block_size = load_little_endian<std::uint32_t>(bytes, 12);
  header.blocks = load_little_endian<std::uint32_t>(bytes, 16);
  header.chunks = load_little_endian<std::uint32_t>(bytes, 20);
  header.checksum = load_little_endian<std::uint32_t>(bytes, checksum_at);
  if (header.bytes < header_bytes) fail(file, 8, "the header is too short");
  if (header.chunk_bytes < chunk_header_bytes) fail(file, 10, "chunk headers are too short");
  if (header.block_size == 0 || header.block_size % 4 != 0 || header.block_size > largest_block) {
    fail(file, 12, fmt::format("a block size of {} is impossible", header.block_size));
  }
  if (header.chunks > most_chunks) {
    throw io::Error(
        io::ErrorKind::unsupported, file.path(),
        fmt::format("has {} chunks; imgtool takes at most {}", header.chunks, most_chunks));
  }
  if (header.chunks > file.size() / header.chunk_bytes) {
    fail(file, 20, fmt::format("{} chunks do not fit into the file", header.chunks));
  }
  return header;
}

// Reads chunk after chunk.
class ChunkReader {
 public:
  ChunkReader(const io::File& file, const Header& header)
      : file_(file),
        header_(header),
        stated_size_(std::uint64_t{header.blocks} * header.block_size),
        file_size_(file.size()),
        at_(header.bytes) {}

  Layout read() {
    layout_.block_size = header_.block_size;
    layout_.chunks.reserve(header_.chunks);
    for (std::uint32_t index = 0; index < header_.chunks; ++index) read_chunk();
    if (layout_.content_size != stated_size_) {
      fail(file_, 16,
           fmt::format("the header says {} bytes of content, the chunks have {}", stated_size_,
                       layout_.content_size));
    }
    check_trailer();
    if (header_.checksum != 0) {
      layout_.checksums.push_back({layout_.content_size, header_.checksum, checksum_at});
    }
    return std::move(layout_);
  }

 private:
  // Signed images have a signature behind them, of a few KiB; it is no part of the disk.
  void check_trailer() const {
    constexpr std::uint64_t largest_signature = 64 * io::KiB;
    const std::uint64_t left = file_size_ - at_;
    std::array<std::byte, 4> start{};
    const bool another = file_.read_at(at_, start) == start.size() && has_magic(start);
    if (left <= largest_signature && !another) return;
    fail(file_, at_,
         fmt::format("the sparse image ends here, but the file goes on for {} bytes, {}", left,
                     another ? "with another sparse image" : "more than a signature has"));
  }

  void read_chunk() {
    std::array<std::byte, chunk_header_bytes + payload_word_bytes> bytes{};
    if (file_.read_at(at_, std::span(bytes).first(chunk_header_bytes)) < chunk_header_bytes ||
        header_.chunk_bytes > file_size_ - at_) {
      fail(file_, at_, "the file ends where a chunk should begin: it was cut short");
    }
    const auto type = load_little_endian<std::uint16_t>(bytes, 0);
    const auto blocks = load_little_endian<std::uint32_t>(bytes, 4);
    const auto total = load_little_endian<std::uint32_t>(bytes, 8);
    const std::uint64_t length = std::uint64_t{blocks} * header_.block_size;
    const std::uint64_t payload = payload_of(type, length);
    const std::uint64_t payload_at = at_ + header_.chunk_bytes;
    if (total != header_.chunk_bytes + payload) {
      fail(file_, at_,
           fmt::format("a chunk of {} bytes says that it has {}", header_.chunk_bytes + payload,
                       total));
    }
    if (payload > file_size_ - payload_at) {
      fail(file_, at_, "the file ends before this chunk does: it was cut short");
    }
    std::uint32_t word = 0;
    if (type == fill_type || type == checksum_type) {
      const auto place = std::span(bytes).subspan(chunk_header_bytes);
      if (file_.read_at(payload_at, place) < place.size()) fail(file_, payload_at, "is cut short");
      word = load_little_endian<std::uint32_t>(place, 0);
    }
    add(type, length, word, payload_at);
    at_ = payload_at + payload;
  }

  std::uint64_t payload_of(std::uint16_t type, std::uint64_t length) const {
    switch (type) {
      case raw_type:
        return length;
      case fill_type:
        return payload_word_bytes;
      case nothing_type:
        return 0;
      case checksum_type:
        if (length != 0) fail(file_, at_, "a checksum chunk says that it has content");
        return payload_word_bytes;
      default:
        fail(file_, at_, fmt::format("there are no chunks of type {:#06x}", type));
    }
  }

  void add(std::uint16_t type, std::uint64_t length, std::uint32_t word, std::uint64_t payload_at) {
    if (type == checksum_type) {
      layout_.checksums.push_back({layout_.content_size, word, payload_at});
      return;
    }
    if (length == 0) return;
    // Looked at for each chunk: 2^32 chunks of 2^32 blocks would wrap a sum of 64 bits.
    if (length > stated_size_ - layout_.content_size) {
      fail(file_, at_,
           fmt::format("the header says {} bytes of content, the chunks up to this one have more",
                       stated_size_));
    }
    Chunk chunk;
    chunk.content = {layout_.content_size, length};
    chunk.kind = type == raw_type    ? ChunkKind::raw
                 : type == fill_type ? ChunkKind::fill
                                     : ChunkKind::nothing;
    if (type == fill_type) chunk.fill = word;
    if (type == raw_type) chunk.stored_at = payload_at;
    layout_.content_size += length;
    layout_.chunks.push_back(chunk);
  }

  const io::File& file_;
  const Header& header_;
  std::uint64_t stated_size_;
  std::uint64_t file_size_;
  std::uint64_t at_;
  Layout layout_;
};

}  // namespace

bool has_magic(std::span<const std::byte> start) {
  return start.size() >= 4 && load_little_endian<std::uint32_t>(start, 0) == magic;
}

Layout read_layout(const io::File& file) {
  const Header header = read_header(file);
  return ChunkReader(file, header).read();
}

}  // namespace formats::simg
