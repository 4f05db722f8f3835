#include "formats/images/dmg/layout.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/dmg/property_list.hpp"
#include "io/error.hpp"

namespace formats::dmg {
namespace {

constexpr std::size_t trailer_bytes = 512;
constexpr std::string_view trailer_magic = "koly";
constexpr std::string_view table_magic = "mish";
constexpr std::uint32_t version_4 = 4;
constexpr std::uint64_t most_table_bytes = 16 * io::MiB;
constexpr std::uint64_t largest_packed = 64 * io::MiB;
constexpr std::uint64_t most_sectors = std::uint64_t{1} << 53;  // as large as a file can be

// Where the fields of the trailer are.
namespace at {
constexpr std::size_t version = 4;
constexpr std::size_t header_bytes = 8;
constexpr std::size_t data_fork = 24;
constexpr std::size_t resource_fork = 40;
constexpr std::size_t resource_fork_length = 48;
constexpr std::size_t segments = 60;
constexpr std::size_t list = 216;
constexpr std::size_t list_length = 224;
constexpr std::size_t sectors = 492;
}  // namespace at

// Where those of a table are, and of one of its entries.
namespace table_at {
constexpr std::size_t first_sector = 8;
constexpr std::size_t data = 24;
constexpr std::size_t count = 200;
constexpr std::size_t entries = 204;
}  // namespace table_at
namespace entry_at {
constexpr std::size_t sector = 8;
constexpr std::size_t sectors = 16;
constexpr std::size_t offset = 24;
constexpr std::size_t length = 32;
}  // namespace entry_at
constexpr std::size_t entry_bytes = 40;

bool begins_with(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

struct NamedKind {
  std::uint32_t word;
  ChunkKind kind;
};
constexpr auto known_kinds = std::to_array<NamedKind>({
    {0, ChunkKind::zero},
    {1, ChunkKind::raw},
    {2, ChunkKind::zero},
    {0x80000005, ChunkKind::zlib},
    {0x80000006, ChunkKind::bzip2},
    {0x80000008, ChunkKind::xz},
});
constexpr std::uint32_t adc = 0x80000004;
constexpr std::uint32_t lzfse = 0x80000007;
constexpr std::uint32_t comment = 0x7ffffffe;
constexpr std::uint32_t terminator = 0xffffffff;

class Reader {
 public:
  explicit Reader(const io::File& file) : file_(file), file_size_(file.size()) {}

  Layout read() {
    read_trailer();
    if (field(at::list_length) != 0) {
      read_list({field(at::list), field(at::list_length)});
    } else {
      read_resources({field(at::resource_fork), field(at::resource_fork_length)});
    }
    check_overlaps();
    return std::move(layout_);
  }

 private:
  [[noreturn]] void fail(std::uint64_t offset, const std::string& text) const {
    throw io::Error::format(file_.path(), offset, text);
  }
  [[nodiscard]] std::uint64_t field(std::size_t offset) const {
    return load_big_endian<std::uint64_t>(trailer_, offset);
  }
  [[nodiscard]] std::uint64_t trailer_at() const { return file_size_ - trailer_bytes; }

  void read_trailer();
  // The bytes of `range`, which field `said_at` of the trailer names `what`.
  [[nodiscard]] std::vector<std::byte> read_part(io::ByteRange range, std::size_t said_at,
                                                 std::string_view what) const;
  void read_list(io::ByteRange range);
  void read_resources(io::ByteRange range);
  // `said_at` is where the table, or its text, begins in the file.
  void read_table(std::span<const std::byte> table, std::uint64_t said_at);
  void read_entry(std::span<const std::byte> entry, std::uint64_t first_sector,
                  std::uint64_t data_at, std::uint64_t said_at);
  [[nodiscard]] ChunkKind kind_of(std::uint32_t word, std::uint64_t said_at) const;
  void check_stored(const Chunk& chunk) const;
  void check_overlaps();

  const io::File& file_;
  std::uint64_t file_size_;
  std::array<std::byte, trailer_bytes> trailer_{};
  Layout layout_;
};

void Reader::read_trailer() {
  if (file_size_ < trailer_bytes) fail(0, "is no Apple disk image: it is too short");
  if (file_.read_at(trailer_at(), trailer_) < trailer_bytes || !has_magic(trailer_)) {
    fail(trailer_at(), "is no Apple disk image: it does not end with a trailer");
  }
  const auto version = load_big_endian<std::uint32_t>(trailer_, at::version);
  if (version != version_4) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    fmt::format("is an Apple disk image of version {}; imgtool knows 4", version));
  }
  const auto segments = load_big_endian<std::uint32_t>(trailer_, at::segments);
  if (segments > 1) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    fmt::format("is one of {} parts of an Apple disk image; join them with hdiutil "
                                "convert",
                                segments));
  }
  if (field(at::sectors) > most_sectors) {
    fail(trailer_at() + at::sectors,
         fmt::format("a disk of {} sectors is impossible", field(at::sectors)));
  }
  layout_.virtual_size = field(at::sectors) * sector;
}

std::vector<std::byte> Reader::read_part(io::ByteRange range, std::size_t said_at,
                                         std::string_view what) const {
  if (range.length > most_table_bytes) {
    fail(trailer_at() + said_at, fmt::format("{} of {} bytes is too long", what, range.length));
  }
  if (range.offset > trailer_at() || range.length > trailer_at() - range.offset) {
    fail(trailer_at() + said_at,
         fmt::format("{} of {} bytes at {} goes past the trailer at {}: the file was cut short",
                     what, range.length, range.offset, trailer_at()));
  }
  std::vector<std::byte> bytes(range.length);
  if (file_.read_at(range.offset, bytes) < bytes.size()) {
    fail(range.offset, fmt::format("{} cannot be read", what));
  }
  return bytes;
}

void Reader::read_list(io::ByteRange range) {
  const auto bytes = read_part(range, at::list, "a property list");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for_each_data(text, [&](std::uint64_t offset, std::span<const std::byte> data) {
    if (begins_with(data, table_magic)) read_table(data, range.offset + offset);
  });
}

// A resource fork: where its data begin, how long they are; each has its length before it.
void Reader::read_resources(io::ByteRange range) {
  const auto fork = read_part(range, at::resource_fork, "a resource fork");
  constexpr std::size_t head = 16;
  if (fork.size() < head) fail(trailer_at() + at::list, "there is no list of chunks");
  const std::uint64_t begin = load_big_endian<std::uint32_t>(fork, 0);
  const std::uint64_t length = load_big_endian<std::uint32_t>(fork, 8);
  if (begin > fork.size() || length > fork.size() - begin) {
    fail(range.offset, "the data of the resource fork go past its end");
  }
  for (std::uint64_t at = begin; at < begin + length;) {
    constexpr std::size_t length_bytes = 4;
    const std::uint64_t left = begin + length - at;
    const std::uint64_t bytes =
        left < length_bytes ? left : load_big_endian<std::uint32_t>(fork, at);
    if (left < length_bytes || bytes > left - length_bytes) {
      fail(range.offset + at, "a resource goes past the end of its fork");
    }
    const auto data = std::span<const std::byte>(fork).subspan(at + length_bytes, bytes);
    if (begins_with(data, table_magic)) read_table(data, range.offset + at + length_bytes);
    at += length_bytes + bytes;
  }
}

void Reader::read_table(std::span<const std::byte> table, std::uint64_t said_at) {
  if (table.size() < table_at::entries) fail(said_at, "a table of chunks is cut short");
  const std::uint64_t count = load_big_endian<std::uint32_t>(table, table_at::count);
  if (count > (table.size() - table_at::entries) / entry_bytes) {
    fail(said_at, fmt::format("a table says that it has {} chunks, and is cut short", count));
  }
  const auto first = load_big_endian<std::uint64_t>(table, table_at::first_sector);
  const auto data = load_big_endian<std::uint64_t>(table, table_at::data);
  if (first > most_sectors || data > file_size_ || field(at::data_fork) > file_size_) {
    fail(said_at, "a table of chunks begins outside of the disk or the file");
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    read_entry(table.subspan(table_at::entries + i * entry_bytes, entry_bytes), first,
               field(at::data_fork) + data, said_at);
  }
}

ChunkKind Reader::kind_of(std::uint32_t word, std::uint64_t said_at) const {
  for (const NamedKind& known : known_kinds) {
    if (known.word == word) return known.kind;
  }
  if (word != adc && word != lzfse) fail(said_at, fmt::format("a chunk has kind {:#x}", word));
  throw io::Error(io::ErrorKind::unsupported, file_.path(),
                  fmt::format("has chunks packed by {}, which imgtool does not read; make another "
                              "image of it with hdiutil convert -format UDZO",
                              word == adc ? "ADC" : "LZFSE"));
}

void Reader::read_entry(std::span<const std::byte> entry, std::uint64_t first_sector,
                        std::uint64_t data_at, std::uint64_t said_at) {
  const auto word = load_big_endian<std::uint32_t>(entry, 0);
  const auto begin = load_big_endian<std::uint64_t>(entry, entry_at::sector);
  const auto count = load_big_endian<std::uint64_t>(entry, entry_at::sectors);
  if (word == comment || word == terminator || count == 0) return;
  Chunk chunk;
  chunk.kind = kind_of(word, said_at);
  chunk.said_at = said_at;
  const std::uint64_t disk = layout_.virtual_size / sector;
  if (begin > disk || first_sector > disk - begin || count > disk - begin - first_sector) {
    fail(said_at, fmt::format("a chunk of {} sectors at {} goes past the end of the disk of {} "
                              "sectors",
                              count, begin, disk));
  }
  chunk.guest = {(first_sector + begin) * sector, count * sector};
  if (chunk.kind != ChunkKind::zero) {
    const auto offset = load_big_endian<std::uint64_t>(entry, entry_at::offset);
    const auto length = load_big_endian<std::uint64_t>(entry, entry_at::length);
    // The sum of what may be as large as the file and of this one.
    chunk.stored = {data_at + std::min(offset, file_size_), length};
    check_stored(chunk);
  }
  layout_.chunks.push_back(chunk);
}

void Reader::check_stored(const Chunk& chunk) const {
  const io::ByteRange stored = chunk.stored;
  if (stored.offset > trailer_at() || stored.length > trailer_at() - stored.offset) {
    fail(chunk.said_at, fmt::format("a chunk of {} bytes is said to be at {}, but the file ends at "
                                    "{}: it was cut short",
                                    stored.length, stored.offset, file_size_));
  }
  if (chunk.kind == ChunkKind::raw && stored.length != chunk.guest.length) {
    fail(chunk.said_at,
         fmt::format("{} bytes are stored for a chunk of {}", stored.length, chunk.guest.length));
  }
  if (chunk.kind != ChunkKind::raw && (chunk.guest.length > largest_packed ||
                                       stored.length > largest_packed || stored.length == 0)) {
    fail(chunk.said_at,
         fmt::format("a chunk of {} bytes in {} is impossible", chunk.guest.length, stored.length));
  }
}

void Reader::check_overlaps() {
  auto& chunks = layout_.chunks;
  const auto refuse = [&](io::ByteRange Chunk::*place, std::string_view where) {
    std::sort(chunks.begin(), chunks.end(), [place](const Chunk& a, const Chunk& b) {
      return (a.*place).offset < (b.*place).offset;
    });
    const Chunk* before = nullptr;
    for (const Chunk& chunk : chunks) {
      const io::ByteRange range = chunk.*place;
      if (range.empty()) continue;
      if (before != nullptr && range.offset < (before->*place).end()) {
        fail(chunk.said_at,
             fmt::format("two chunks are said to be at {} of {}", range.offset, where));
      }
      before = &chunk;
    }
  };
  refuse(&Chunk::stored, "the file");
  refuse(&Chunk::guest, "the disk");
}

}  // namespace

bool has_magic(std::span<const std::byte> end) {
  return end.size() >= at::header_bytes + 4 && begins_with(end, trailer_magic) &&
         load_big_endian<std::uint32_t>(end, at::header_bytes) == trailer_bytes;
}

bool has_trailer(const io::File& file) {
  const std::uint64_t size = file.size();
  if (size < trailer_bytes) return false;
  std::array<std::byte, at::header_bytes + 4> start{};
  return file.read_at(size - trailer_bytes, start) == start.size() && has_magic(start);
}

Layout read_layout(const io::File& file) { return Reader(file).read(); }

std::string_view name_of(ChunkKind kind) {
  switch (kind) {
    case ChunkKind::zero:
      return "zero";
    case ChunkKind::raw:
      return "raw";
    case ChunkKind::zlib:
      return "zlib";
    case ChunkKind::bzip2:
      return "bzip2";
    case ChunkKind::xz:
      return "xz";
  }
  return "";
}

}  // namespace formats::dmg
