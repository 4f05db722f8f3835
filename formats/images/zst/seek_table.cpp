#include "formats/images/zst/seek_table.hpp"

#include <algorithm>
#include <array>
#include <cassert>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "io/byte_range.hpp"
#include "io/error.hpp"

namespace formats::zst {
namespace {

constexpr std::uint32_t table_magic = skippable_magic + 0xE;
constexpr std::uint32_t footer_magic = 0x8F92EAB1;
constexpr std::uint64_t footer_bytes = 9;  // number of frames, descriptor, magic
constexpr unsigned checksum_flag = 0x80;
constexpr unsigned reserved_bits = 0x7C;
// No writer has a reason for many of them, and each costs a look at its header.
constexpr unsigned most_frames_without_content = 1024;

// What the header of a table says, once it was compared with the file.
struct Layout {
  std::uint64_t offset = 0;  // of the table's frame in the file
  std::uint32_t frames = 0;
  std::uint32_t entry_bytes = 0;
};

[[noreturn]] void fail(const io::File& file, std::uint64_t offset, std::string text) {
  throw io::Error::format(file.path(), offset, "the seek table " + std::move(text));
}

std::optional<Layout> find_table(const io::File& file) {
  const std::uint64_t size = file.size();
  if (size < skippable_header_bytes + footer_bytes) return std::nullopt;
  std::array<std::byte, footer_bytes> footer{};
  const std::uint64_t footer_at = size - footer_bytes;
  if (file.read_at(footer_at, footer) != footer.size() ||
      load_little_endian<std::uint32_t>(footer, 5) != footer_magic) {
    return std::nullopt;
  }
  Layout layout;
  layout.frames = load_little_endian<std::uint32_t>(footer, 0);
  const auto descriptor = std::to_integer<unsigned>(footer[4]);
  if ((descriptor & reserved_bits) != 0) fail(file, footer_at + 4, "has reserved bits set");
  if (layout.frames > SeekTable::most_frames) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    fmt::format("has {} frames; imgtool takes at most {}", layout.frames,
                                SeekTable::most_frames));
  }
  layout.entry_bytes = (descriptor & checksum_flag) != 0 ? 12 : 8;
  const std::uint64_t content = std::uint64_t{layout.frames} * layout.entry_bytes + footer_bytes;
  if (content + skippable_header_bytes > size) fail(file, footer_at, "is longer than the file");
  layout.offset = size - content - skippable_header_bytes;
  std::array<std::byte, skippable_header_bytes> header{};
  file.read_at(layout.offset, header);
  if (load_little_endian<std::uint32_t>(header, 0) != table_magic ||
      load_little_endian<std::uint32_t>(header, 4) != content) {
    fail(file, layout.offset, "does not begin where its length says");
  }
  return layout;
}

// What a frame of that much content can take: stored as it is, in blocks of 1 KiB.
std::uint64_t most_stored_bytes(std::uint64_t content_bytes) {
  return content_bytes + content_bytes / 256 + 128;
}

std::uint64_t stored_bytes_in(std::span<const std::byte> entries, std::size_t entry_bytes) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < entries.size(); at += entry_bytes) {
    sum += load_little_endian<std::uint32_t>(entries, at);
  }
  return sum;
}

bool begins_frame(const io::File& file, std::uint64_t offset) {
  std::array<std::byte, 4> magic{};
  return file.read_at(offset, magic) == magic.size() && is_frame_magic(magic);
}

void check_skippable(const io::File& file, std::uint64_t offset, std::uint32_t stored_bytes) {
  std::array<std::byte, skippable_header_bytes> header{};
  if (stored_bytes >= header.size() && file.read_at(offset, header) == header.size() &&
      is_skippable(load_little_endian<std::uint32_t>(header, 0)) &&
      load_little_endian<std::uint32_t>(header, 4) == stored_bytes - header.size()) {
    return;
  }
  throw io::Error::format(file.path(), offset,
                          "the seek table has a frame without content here, but there is no "
                          "skippable frame of that length");
}

}  // namespace

bool is_seek_table(std::span<const std::byte> next) {
  return next.size() >= 4 && load_little_endian<std::uint32_t>(next, 0) == table_magic;
}

std::optional<SeekTable> SeekTable::read(const io::File& file) {
  const auto layout = find_table(file);
  if (!layout) return std::nullopt;
  std::vector<std::byte> entries(std::size_t{layout->frames} * layout->entry_bytes);
  const std::uint64_t entries_at = layout->offset + skippable_header_bytes;
  if (file.read_at(entries_at, entries) != entries.size()) fail(file, entries_at, "is cut short");

  const std::uint64_t stored = stored_bytes_in(entries, layout->entry_bytes);
  if (stored < layout->offset && begins_frame(file, layout->offset - stored)) return std::nullopt;
  if (stored != layout->offset) {
    fail(file, layout->offset,
         fmt::format("describes {} bytes, and {} lie in front of it", stored, layout->offset));
  }

  SeekTable table;
  table.has_checksums_ = layout->entry_bytes == 12;
  table.frames_.reserve(layout->frames);
  std::uint64_t stored_at = 0;
  unsigned without_content = 0;
  for (std::size_t at = 0; at < entries.size(); at += layout->entry_bytes) {
    Frame frame{stored_at, table.content_size_};
    frame.stored_bytes = load_little_endian<std::uint32_t>(entries, at);
    frame.content_bytes = load_little_endian<std::uint32_t>(entries, at + 4);
    if (table.has_checksums_) frame.checksum = load_little_endian<std::uint32_t>(entries, at + 8);
    if (frame.content_bytes == 0) {
      if (++without_content > most_frames_without_content) {
        fail(file, entries_at + at, "has too many frames without content");
      }
      check_skippable(file, stored_at, frame.stored_bytes);
    } else if (frame.content_bytes > most_content_bytes ||
               frame.stored_bytes > most_stored_bytes(frame.content_bytes)) {
      fail(file, entries_at + at, "has a frame that is too long");
    } else {
      table.frames_.push_back(frame);
      table.largest_frame_ = std::max(table.largest_frame_, frame.content_bytes);
    }
    stored_at += frame.stored_bytes;
    table.content_size_ += frame.content_bytes;
  }
  return table;
}

std::size_t SeekTable::frame_at(std::uint64_t offset) const {
  assert(offset < content_size_);
  const auto behind = std::upper_bound(
      frames_.begin(), frames_.end(), offset,
      [](std::uint64_t position, const Frame& frame) { return position < frame.content_at; });
  return static_cast<std::size_t>(behind - frames_.begin()) - 1;
}

std::vector<std::byte> make_seek_table(const std::vector<SeekEntry>& entries) {
  constexpr std::size_t entry_bytes = 12;
  const std::size_t content = entries.size() * entry_bytes + footer_bytes;
  std::vector<std::byte> table(skippable_header_bytes + content);
  store_little_endian(table, 0, table_magic);
  store_little_endian(table, 4, static_cast<std::uint32_t>(content));
  std::size_t at = skippable_header_bytes;
  for (const SeekEntry& entry : entries) {
    store_little_endian(table, at, entry.stored_bytes);
    store_little_endian(table, at + 4, entry.content_bytes);
    store_little_endian(table, at + 8, entry.checksum);
    at += entry_bytes;
  }
  store_little_endian(table, at, static_cast<std::uint32_t>(entries.size()));
  table[at + 4] = static_cast<std::byte>(checksum_flag);
  store_little_endian(table, at + 5, footer_magic);
  return table;
}

}  // namespace formats::zst
