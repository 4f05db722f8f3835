#include "formats/images/vmdk/stream.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/inflate.hpp"
#include "io/error.hpp"

namespace formats::vmdk {
namespace {

constexpr std::size_t overhead_at = 64;
constexpr std::uint64_t most_before_grains = 64 * io::MiB;
constexpr std::uint64_t most_behind_grain = 64;  // of a grain that does not get smaller

namespace type {
constexpr std::uint32_t end_of_stream = 0;
constexpr std::uint32_t last_known = 4;  // progress
}  // namespace type

}  // namespace

bool is_stream(std::span<const std::byte> start) {
  if (!has_magic(start) || start.size() < header_bytes) return false;
  constexpr std::uint32_t compressed_with_markers = 0x30000;
  return (load_little_endian<std::uint32_t>(start, 8) & compressed_with_markers) ==
             compressed_with_markers &&
         load_little_endian<std::uint64_t>(start, overhead_at) <= most_before_grains / sector;
}

GrainStream::GrainStream(std::unique_ptr<io::ByteStream> file, std::string name)
    : file_(std::move(file)), name_(std::move(name)) {
  std::array<std::byte, header_bytes> bytes{};
  read_file(bytes);
  Layout layout{parse_header(bytes, 0, name_), {}};
  header_ = layout.header;
  layout.descriptor = read_descriptor();
  refuse_parts(name_, layout);
  refuse_child(name_, layout.descriptor);
  if (header_.overhead < position_ / sector || header_.overhead > most_before_grains / sector) {
    fail(0, "the grains are said to begin before the descriptor ends, or too late");
  }
  if (header_.directory == at_end) {
    skip_file(header_.overhead * sector - position_);
  } else {
    count_grains();
  }
  grain_.resize(header_.grain_bytes());
}

void GrainStream::fail(std::uint64_t at, const std::string& text) const {
  throw io::Error::format(name_, at, text);
}

void GrainStream::read_file(std::span<std::byte> bytes) {
  const std::size_t count = io::read_fully(*file_, bytes);
  position_ += count;
  if (count < bytes.size()) fail(position_, "the streamed VMDK ends here: it was cut short");
}

void GrainStream::skip_file(std::uint64_t count) {
  std::array<std::byte, 16 * io::KiB> unwanted;
  while (count > 0) {
    const auto piece = std::span(unwanted).first(std::min<std::uint64_t>(count, unwanted.size()));
    read_file(piece);
    count -= piece.size();
  }
}

void GrainStream::count_grains() {
  const std::uint64_t begin = position_;
  std::vector<std::byte> tables(header_.overhead * sector - begin);
  read_file(tables);
  const auto inside = [&](std::uint64_t at, std::uint64_t bytes) {
    return at >= begin && at <= position_ && bytes <= position_ - at;
  };
  const auto word = [&](std::uint64_t at) {
    return load_little_endian<std::uint32_t>(tables, at - begin);
  };
  const std::uint64_t directory =
      header_.directory > most_before_grains ? 0 : header_.directory * sector;
  if (!inside(directory, header_.tables() * 4)) {
    fail(0, "the grain directory is not before the grains: this can only be read from a file");
  }
  std::uint64_t count = 0;
  for (std::uint64_t number = 0; number < header_.tables(); ++number) {
    const std::uint64_t table = word(directory + number * 4) * sector;
    if (table == 0) continue;
    if (!inside(table, header_.table_bytes())) {
      fail(directory + number * 4, fmt::format("grain table {} is not before the grains", number));
    }
    for (std::uint64_t entry = 0; entry < header_.entries; ++entry) {
      if (word(table + entry * 4) > (header_.zero_grains ? 1U : 0U)) ++count;
    }
  }
  listed_ = count;
}

Descriptor GrainStream::read_descriptor() {
  if (header_.descriptor_length > most_descriptor_bytes / sector || header_.descriptor == 0 ||
      header_.descriptor > header_.overhead ||
      header_.descriptor_length > header_.overhead - header_.descriptor) {
    fail(0, fmt::format("a descriptor of {} sectors at sector {} is too long or not before the "
                        "grains (sector {})",
                        header_.descriptor_length, header_.descriptor, header_.overhead));
  }
  skip_file(header_.descriptor * sector - position_);
  std::string text(header_.descriptor_length * sector, '\0');
  read_file(std::as_writable_bytes(std::span(text)));
  return parse_descriptor(text);
}

std::size_t GrainStream::read(std::span<std::byte> buffer) {
  buffer = buffer.first(std::min<std::uint64_t>(buffer.size(), size() - done_));
  while (!ended_ && done_ >= grain_end_) find_grain();
  if (buffer.empty()) {
    while (!ended_) find_grain();
    return 0;
  }
  std::size_t count = buffer.size();
  if (done_ < grain_begin_ || done_ >= grain_end_) {
    if (done_ < grain_begin_) count = std::min<std::uint64_t>(count, grain_begin_ - done_);
    std::fill_n(buffer.begin(), count, std::byte{0});
  } else {
    count = std::min<std::uint64_t>(count, grain_end_ - done_);
    std::copy_n(grain_.begin() + static_cast<std::ptrdiff_t>(done_ - grain_begin_), count,
                buffer.begin());
  }
  done_ += count;
  return count;
}

// Or the end of them. Tables, of which markers tell how long they are, are passed over.
void GrainStream::find_grain() {
  first_.resize(sector);
  const std::uint64_t at = position_;
  if (found_ == listed_) {
    end_grains();
    return;
  }
  read_file(first_);
  const auto value = load_little_endian<std::uint64_t>(first_, 0);
  const auto length = load_little_endian<std::uint32_t>(first_, 8);
  if (length != 0) {
    take_grain(at, value, length);
    return;
  }
  const auto kind = load_little_endian<std::uint32_t>(first_, 12);
  if (kind > type::last_known) fail(at, fmt::format("there are no VMDK markers of type {}", kind));
  if (kind == type::end_of_stream) {
    if (listed_)
      fail(at, fmt::format("{} grains are missing: it was cut short", *listed_ - found_));
    end_grains();
  } else if (value > most_directory_bytes / sector) {
    fail(at, fmt::format("tables of {} sectors are impossible", value));
  } else {
    skip_file(value * sector);
  }
}

void GrainStream::take_grain(std::uint64_t at, std::uint64_t place, std::uint32_t length) {
  if (place >= header_.capacity || place % header_.grain != 0) {
    fail(at, fmt::format("a grain of sector {} is not on the grid, or past the disk's end", place));
  }
  if (place * sector < grain_end_) {
    fail(at, fmt::format("the grain of sector {} comes too late: the grains are not in order, so "
                         "that this can only be read from a file of its own",
                         place));
  }
  const std::uint64_t most = 2 * header_.grain_bytes() + most_behind_grain;
  if (length > most) fail(at, fmt::format("a packed grain of {} bytes is too long", length));
  packed_.resize(io::align_up(grain_marker_bytes + std::uint64_t{length}, sector));
  std::copy(first_.begin(), first_.end(), packed_.begin());
  read_file(std::span(packed_).subspan(sector));
  const std::uint64_t content =
      std::min(header_.grain_bytes(), (header_.capacity - place) * sector);
  const auto unpacked =
      inflate_zlib(std::span(packed_).subspan(grain_marker_bytes, length), grain_);
  if (!unpacked || *unpacked < content) {
    fail(at, fmt::format("the compressed grain of sector {} is damaged", place));
  }
  ++found_;
  grain_begin_ = place * sector;
  grain_end_ = grain_begin_ + content;
}

// Programs fill the file up with zeros, or put tables behind.
void GrainStream::end_grains() {
  std::array<std::byte, 16 * io::KiB> behind;
  while (io::read_fully(*file_, behind) != 0) {
  }
  ended_ = true;
  grain_begin_ = grain_end_ = size();
}

}  // namespace formats::vmdk
