#include "formats/images/qcow2/bitmaps.hpp"

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t bitmap_fixed_bytes = 24;
constexpr std::uint32_t in_use_flag = 1;
constexpr std::uint32_t automatic_flag = 2;
constexpr std::uint32_t known_flags = 7;
constexpr std::uint64_t most_table_entries = std::uint64_t{1} << 27;

class DirectoryParser {
 public:
  DirectoryParser(const TableReader& tables, const Header& header)
      : tables_(tables), header_(header), offset_(header.bitmaps->offset) {}

  std::vector<Bitmap> parse() {
    std::vector<Bitmap> bitmaps;
    for (std::uint32_t i = 0; i < header_.bitmaps->count; ++i) bitmaps.push_back(parse_entry());
    if (offset_ - header_.bitmaps->offset != header_.bitmaps->bytes) {
      fail(fmt::format("the bitmap directory of {} bytes has {} bytes of entries",
                       header_.bitmaps->bytes, offset_ - header_.bitmaps->offset));
    }
    return bitmaps;
  }

 private:
  [[noreturn]] void fail(std::string text) const {
    throw io::Error::format(tables_.path(), offset_.value, std::move(text));
  }

  Bitmap parse_entry() {
    const auto fixed = peek(0, bitmap_fixed_bytes);
    Bitmap bitmap;
    bitmap.table_offset = {load_big_endian<std::uint64_t>(fixed, 0)};
    bitmap.table_entries = load_big_endian<std::uint32_t>(fixed, 8);
    const auto flags = load_big_endian<std::uint32_t>(fixed, 12);
    const auto type = std::to_integer<unsigned>(fixed[16]);
    bitmap.granularity_bits = std::to_integer<std::uint32_t>(fixed[17]);
    const auto name_bytes = load_big_endian<std::uint16_t>(fixed, 18);
    const auto extra_bytes = load_big_endian<std::uint32_t>(fixed, 20);
    if (type != 1) fail(fmt::format("a bitmap has type {}, not 1", type));
    if ((flags & ~known_flags) != 0) fail(fmt::format("a bitmap has flags {:#x}", flags));
    if (bitmap.granularity_bits < 9 || bitmap.granularity_bits > 31) {
      fail(fmt::format("a bitmap has granularity_bits {}, not 9 to 31", bitmap.granularity_bits));
    }
    if (name_bytes == 0 || name_bytes > longest_bitmap_name) {
      fail(fmt::format("a bitmap's name has {} bytes, not 1 to {}", name_bytes,
                       longest_bitmap_name));
    }
    if (extra_bytes != 0) fail("a bitmap has extra data, whose meaning is not known");
    bitmap.in_use = (flags & in_use_flag) != 0;
    bitmap.automatic = (flags & automatic_flag) != 0;
    check_table(bitmap);
    names_bytes_ += name_bytes;
    if (names_bytes_ > most_names_bytes) {
      fail(fmt::format("the names of bitmaps have more than {} bytes", most_names_bytes));
    }
    const auto name = peek(bitmap_fixed_bytes, name_bytes);
    bitmap.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    offset_ = offset_ + io::align_up(bitmap_fixed_bytes + name_bytes, 8);
    return bitmap;
  }

  void check_table(const Bitmap& bitmap) const {
    const std::uint64_t offset = bitmap.table_offset.value;
    const std::uint64_t bytes = std::uint64_t{bitmap.table_entries} * 8;
    if (bitmap.table_entries == 0 || bitmap.table_entries > most_table_entries) {
      fail(fmt::format("a bitmap's table has {} entries, not 1 to {}", bitmap.table_entries,
                       most_table_entries));
    }
    if (offset == 0 || header_.geometry.offset_in_cluster(offset) != 0) {
      fail(fmt::format("a bitmap's table is at {}, not at a multiple of the cluster size", offset));
    }
    if (offset > tables_.file_size() || bytes > tables_.file_size() - offset) {
      fail(fmt::format("a bitmap's table of {} bytes at {} goes past the end of the file", bytes,
                       offset));
    }
    if (!bitmap.in_use && bitmap.table_entries != entries_for(bitmap)) {
      fail(fmt::format("a bitmap's table has {} entries, but the disk needs {}",
                       bitmap.table_entries, entries_for(bitmap)));
    }
  }

  [[nodiscard]] std::uint64_t entries_for(const Bitmap& bitmap) const {
    return bitmap_table_entries(header_, bitmap.granularity_bits);
  }

  [[nodiscard]] std::vector<std::byte> peek(std::uint64_t from, std::size_t bytes) const {
    const std::uint64_t used = offset_ - header_.bitmaps->offset;
    if (used + from + bytes > header_.bitmaps->bytes) {
      fail(fmt::format("the bitmap directory of {} bytes ends inside an entry",
                       header_.bitmaps->bytes));
    }
    std::vector<std::byte> part(bytes);
    tables_.read(offset_ + from, part, "the bitmap directory");
    return part;
  }

  const TableReader& tables_;
  const Header& header_;
  HostOffset offset_;
  std::uint64_t names_bytes_ = 0;
};

}  // namespace

std::vector<Bitmap> read_bitmaps(const TableReader& tables, const Header& header) {
  return header.bitmaps ? DirectoryParser(tables, header).parse() : std::vector<Bitmap>();
}

// Bits for the disk, in whole clusters.
std::uint64_t bitmap_table_entries(const Header& header, std::uint32_t granularity_bits) {
  const std::uint64_t granularity = std::uint64_t{1} << granularity_bits;
  const std::uint64_t cluster_size = header.geometry.cluster_size();
  const std::uint64_t bits = io::align_up(header.virtual_size, granularity) / granularity;
  return io::align_up((bits + 7) / 8, cluster_size) / cluster_size;
}

std::vector<std::byte> make_bitmap_directory(const std::vector<Bitmap>& bitmaps) {
  std::vector<std::byte> directory;
  for (const Bitmap& bitmap : bitmaps) {
    const std::size_t at = directory.size();
    directory.resize(at + bitmap_fixed_bytes);
    const auto entry = std::span(directory).subspan(at);
    store_big_endian(entry, 0, bitmap.table_offset.value);
    store_big_endian(entry, 8, bitmap.table_entries);
    store_big_endian(entry, 12,
                     (bitmap.in_use ? in_use_flag : 0) | (bitmap.automatic ? automatic_flag : 0));
    entry[16] = std::byte{1};  // dirty tracking, the one type there is
    entry[17] = static_cast<std::byte>(bitmap.granularity_bits);
    store_big_endian(entry, 18, static_cast<std::uint16_t>(bitmap.name.size()));
    const auto name = std::as_bytes(std::span(bitmap.name));
    directory.insert(directory.end(), name.begin(), name.end());
    directory.resize(io::align_up(directory.size(), 8));
  }
  return directory;
}

}  // namespace formats::qcow2
