#include "formats/images/vhdx/header.hpp"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/hex.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/images/vhdx/fields.hpp"
#include "io/error.hpp"

namespace formats::vhdx {
namespace {

constexpr std::uint32_t most_rows = 2047;
constexpr std::uint64_t largest_locator = 64 * io::KiB;

bool begins_with(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

Guid guid_at(std::span<const std::byte> bytes, std::size_t at) {
  Guid found{};
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), found.size(), found.begin());
  return found;
}

// Of a structure that has its checksum behind its signature.
bool is_whole(std::span<const std::byte> bytes, std::string_view signature) {
  if (!begins_with(bytes, signature)) return false;
  const std::uint32_t crc = ~crc32c_update_without(~std::uint32_t{0}, bytes, 4);
  return checksum_fits(load_little_endian<std::uint32_t>(bytes, 4), crc);
}

struct HeaderCopy {
  std::uint64_t at = 0;
  std::vector<std::byte> bytes;
  [[nodiscard]] std::uint64_t sequence() const {
    return load_little_endian<std::uint64_t>(bytes, 8);
  }
};

std::optional<HeaderCopy> header_at(const io::File& file, std::uint64_t at) {
  HeaderCopy copy{at, std::vector<std::byte>(header_bytes)};
  if (file.read_at(at, copy.bytes) < header_bytes || !is_whole(copy.bytes, "head")) {
    return std::nullopt;
  }
  return copy;
}

// The one that was written last.
HeaderCopy header_in_force(const io::File& file) {
  auto first = header_at(file, header_places[0]);
  auto second = header_at(file, header_places[1]);
  if (!first && !second) {
    throw io::Error::format(file.path(), header_places[0],
                            "neither of the two VHDX headers is whole: the image is damaged or was "
                            "cut short");
  }
  if (!first || !second) return first ? *first : *second;
  // Two of the same number are two copies of one (Disk2vhd writes them), else nobody can tell.
  if (first->sequence() == second->sequence() && first->bytes != second->bytes) {
    throw io::Error::format(file.path(), header_places[1],
                            "both headers have the same number, but say different things");
  }
  return first->sequence() >= second->sequence() ? *first : *second;
}

io::ByteRange parse_log(const HeaderCopy& copy, const io::File& file) {
  const io::ByteRange log{load_little_endian<std::uint64_t>(copy.bytes, 72),
                          load_little_endian<std::uint32_t>(copy.bytes, 68)};
  const std::uint64_t size = file.size();
  const bool inside = log.offset <= size && log.length <= size - log.offset;
  if (!inside || log.offset < unit || log.offset % unit != 0 || log.length % unit != 0) {
    throw io::Error::format(file.path(), copy.at + 68,
                            fmt::format("a log of {} bytes at {} is not in whole MiB of the file "
                                        "({} bytes)",
                                        log.length, log.offset, size));
  }
  return log;
}

// --- regions --------------------------------------------------------------------------------

class RegionParser {
 public:
  RegionParser(const TablePages& pages, std::uint64_t table_at, std::span<const std::byte> table)
      : pages_(pages), table_at_(table_at), table_(table) {}

  Regions parse() {
    const auto rows = load_little_endian<std::uint32_t>(table_, 8);
    if (rows > most_rows) fail(8, fmt::format("{} regions are too many", rows));
    for (std::uint32_t row = 0; row < rows; ++row) parse_row(16 + row * row_bytes);
    if (regions_.table.empty()) fail(8, "there is no region for the block table");
    if (regions_.metadata.empty()) fail(8, "there is no region for metadata");
    if (!io::intersection(regions_.table, regions_.metadata).empty()) {
      fail(8, "the block table and the metadata are in the same place");
    }
    return regions_;
  }

 private:
  void parse_row(std::size_t at) {
    const Guid id = guid_at(table_, at);
    const io::ByteRange range{load_little_endian<std::uint64_t>(table_, at + 16),
                              load_little_endian<std::uint32_t>(table_, at + 24)};
    const bool required = (load_little_endian<std::uint32_t>(table_, at + 28) & 1) != 0;
    if (id == block_table_region) {
      take(at, range, regions_.table);
    } else if (id == metadata_region) {
      take(at, range, regions_.metadata);
    } else if (required) {
      throw io::Error(
          io::ErrorKind::unsupported, pages_.path(),
          fmt::format("has a region at {} that only readers who know it may ignore", range.offset));
    }
  }

  void take(std::size_t at, io::ByteRange range, io::ByteRange& place) {
    const std::uint64_t size = pages_.file_size();
    if (!place.empty()) fail(at, "there are two regions of one kind");
    if (range.empty() || range.offset < unit || range.offset % unit != 0 ||
        range.length % unit != 0 || range.offset > size || range.length > size - range.offset) {
      fail(at + 16, fmt::format("a region of {} bytes at {} is not in whole MiB of the file ({} "
                                "bytes)",
                                range.length, range.offset, size));
    }
    place = range;
  }

  [[noreturn]] void fail(std::size_t at, const std::string& text) const {
    throw io::Error::format(pages_.path(), table_at_ + at, text);
  }

  const TablePages& pages_;
  std::uint64_t table_at_;
  std::span<const std::byte> table_;
  Regions regions_;
};

// --- metadata -------------------------------------------------------------------------------

class MetadataParser {
 public:
  MetadataParser(const TablePages& pages, io::ByteRange region)
      : pages_(pages), region_(region), table_(table_bytes) {}

  Metadata parse() {
    pages_.read(region_.offset, table_, "the metadata table");
    if (!begins_with(table_, "metadata")) fail(0, "here should be the metadata table");
    const auto rows = load_little_endian<std::uint16_t>(table_, 10);
    if (rows > most_rows) fail(10, fmt::format("{} items are too many", rows));
    for (std::uint32_t row = 0; row < rows; ++row) note_row(row_bytes + row * row_bytes);
    parse_parameters();
    parse_sectors();
    parse_size();
    if (metadata_.has_parent) parse_locator();
    return metadata_;
  }

 private:
  struct Item {
    Guid id{};
    std::size_t row = 0;
    io::ByteRange place;  // in the file
  };

  void note_row(std::size_t at) {
    Item item{guid_at(table_, at), at, {}};
    const std::uint64_t offset = load_little_endian<std::uint32_t>(table_, at + 16);
    const std::uint64_t length = load_little_endian<std::uint32_t>(table_, at + 20);
    const bool required = (load_little_endian<std::uint32_t>(table_, at + 24) & 4) != 0;
    if (length != 0 &&
        (offset < table_bytes || offset > region_.length || length > region_.length - offset)) {
      fail(at + 16, fmt::format("an item of {} bytes at {} of the metadata lies outside of it",
                                length, offset));
    }
    item.place = {region_.offset + offset, length};
    if (is_known(item.id)) {
      if (find(item.id) != nullptr) fail(at, "an item is there twice");
      items_.push_back(item);
    } else if (required) {
      throw io::Error(io::ErrorKind::unsupported, pages_.path(),
                      fmt::format("has metadata (at {}) that only readers who know it may ignore",
                                  item.place.offset));
    }
  }

  static bool is_known(const Guid& id) {
    return id == file_parameters || id == virtual_disk_size || id == page_83_data ||
           id == logical_sector_size || id == physical_sector_size || id == parent_locator;
  }

  [[nodiscard]] const Item* find(const Guid& id) const {
    const auto found =
        std::find_if(items_.begin(), items_.end(), [&](const Item& item) { return item.id == id; });
    return found == items_.end() ? nullptr : &*found;
  }

  // The item's bytes, of which there are `length`.
  [[nodiscard]] std::vector<std::byte> value(const Guid& id, std::uint64_t length,
                                             std::string_view what) const {
    const Item* item = find(id);
    if (item == nullptr) fail(0, fmt::format("the {} is missing", what));
    if (item->place.length != length) {
      fail(item->row + 20, fmt::format("the {} has {} bytes", what, item->place.length));
    }
    std::vector<std::byte> bytes(length);
    pages_.read(item->place.offset, bytes, what);
    return bytes;
  }

  void parse_parameters() {
    const auto bytes = value(file_parameters, 8, "item of file parameters");
    const auto flags = load_little_endian<std::uint32_t>(bytes, 4);
    metadata_.block_size = load_little_endian<std::uint32_t>(bytes, 0);
    metadata_.fixed = (flags & 1) != 0;
    metadata_.has_parent = (flags & 2) != 0;
    if (!std::has_single_bit(metadata_.block_size) || metadata_.block_size < unit ||
        metadata_.block_size > largest_block) {
      fail_item(file_parameters,
                fmt::format("a block size of {} is impossible", metadata_.block_size));
    }
  }

  void parse_sectors() {
    metadata_.logical_sector = sector(logical_sector_size, "logical sector size");
    metadata_.physical_sector = sector(physical_sector_size, "physical sector size");
  }

  std::uint32_t sector(const Guid& id, std::string_view what) const {
    const auto size = load_little_endian<std::uint32_t>(value(id, 4, what), 0);
    if (size != 512 && size != 4096) fail_item(id, fmt::format("a {} of {}", what, size));
    return size;
  }

  void parse_size() {
    metadata_.virtual_size =
        load_little_endian<std::uint64_t>(value(virtual_disk_size, 8, "disk's size"), 0);
    if (metadata_.virtual_size > largest_disk ||
        metadata_.virtual_size % metadata_.logical_sector != 0) {
      fail_item(virtual_disk_size, fmt::format("a disk of {} bytes in sectors of {} is impossible",
                                               metadata_.virtual_size, metadata_.logical_sector));
    }
  }

  // Of several paths, one that may be beside the image.
  void parse_locator() {
    const Item* item = find(parent_locator);
    if (item == nullptr || item->place.length > largest_locator) return;
    std::vector<std::byte> bytes(item->place.length);
    pages_.read(item->place.offset, bytes, "the parent locator");
    if (bytes.size() < 20) return;
    const auto pairs = load_little_endian<std::uint16_t>(bytes, 18);
    for (std::size_t at = 20; at + 12 <= std::min<std::size_t>(bytes.size(), 20 + pairs * 12U);
         at += 12) {
      take_pair(text_at(bytes, load_little_endian<std::uint32_t>(bytes, at),
                        load_little_endian<std::uint16_t>(bytes, at + 8)),
                text_at(bytes, load_little_endian<std::uint32_t>(bytes, at + 4),
                        load_little_endian<std::uint16_t>(bytes, at + 10)));
    }
  }

  void take_pair(const std::string& key, const std::string& value) {
    std::string& path = metadata_.parent;
    if (key == "relative_path" || (key == "absolute_win32_path" && path.empty())) path = value;
    if (key != "parent_linkage" && key != "parent_linkage2") return;
    std::string id = value;
    std::transform(id.begin(), id.end(), id.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    metadata_.parent_ids.push_back(std::move(id));
  }

  static std::string text_at(std::span<const std::byte> bytes, std::size_t at, std::size_t length) {
    if (at > bytes.size() || length > bytes.size() - at) return {};
    return utf8_from_utf16(bytes.subspan(at, length));
  }

  [[noreturn]] void fail(std::uint64_t at, const std::string& text) const {
    throw io::Error::format(pages_.path(), region_.offset + at, text);
  }
  [[noreturn]] void fail_item(const Guid& id, const std::string& text) const {
    throw io::Error::format(pages_.path(), find(id)->place.offset, text);
  }

  const TablePages& pages_;
  io::ByteRange region_;
  std::vector<std::byte> table_;
  std::vector<Item> items_;
  Metadata metadata_;
};

}  // namespace

std::uint64_t Metadata::entries() const {
  const std::uint64_t blocks = io::align_up(virtual_size, block_size) / block_size;
  if (blocks == 0) return 0;
  if (has_parent) return io::align_up(blocks, chunk_ratio()) / chunk_ratio() * (chunk_ratio() + 1);
  return blocks + (blocks - 1) / chunk_ratio();
}

bool has_magic(std::span<const std::byte> start) { return begins_with(start, magic); }

Header read_header(const io::File& file) {
  std::array<std::byte, magic.size()> start{};
  if (file.read_at(0, start) < start.size() || !has_magic(start)) {
    throw io::Error::format(file.path(), 0, "is not a VHDX image");
  }
  const HeaderCopy copy = header_in_force(file);
  const auto log_version = load_little_endian<std::uint16_t>(copy.bytes, 64);
  const auto version = load_little_endian<std::uint16_t>(copy.bytes, 66);
  if (log_version != 0 || version != 1) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    fmt::format("is a VHDX of version {} with a log of version {}; imgtool knows 1 "
                                "and 0",
                                version, log_version));
  }
  Header header;
  header.sequence = copy.sequence();
  header.log_guid = guid_at(copy.bytes, 48);
  header.data_write_guid = guid_at(copy.bytes, 32);
  header.log = parse_log(copy, file);
  if (!header.log_is_empty() && (header.log.empty() || header.log.length > longest_log)) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    fmt::format("has a log of {} bytes that has to be replayed; imgtool replays 1 "
                                "to {} MiB",
                                header.log.length, longest_log / io::MiB));
  }
  return header;
}

TablePages patched_pages(const io::File& file, const Patches& patches) {
  if (patches.empty()) return TablePages(file);
  return {file, std::max(file.size(), patches.size()),
          [&patches](std::uint64_t offset, std::span<std::byte> bytes) {
            patches.apply(offset, bytes);
          }};
}

Regions read_regions(const TablePages& pages) {
  std::vector<std::byte> table(table_bytes);
  for (const std::uint64_t at : region_places) {
    pages.read(at, table, "the region table");
    if (is_whole(table, "regi")) return RegionParser(pages, at, table).parse();
  }
  throw io::Error::format(pages.path(), region_places[0],
                          "neither of the two region tables is whole: the image is damaged");
}

Metadata read_metadata(const TablePages& pages, io::ByteRange region) {
  return MetadataParser(pages, region).parse();
}

std::string read_creator(const io::File& file) {
  std::vector<std::byte> bytes(creator_bytes);
  bytes.resize(file.read_at(creator_at, bytes));
  return utf8_from_utf16(bytes);
}

BlockFacts read_facts(const io::File& file) {
  const Header header = read_header(file);
  const Patches patches =
      header.log_is_empty() ? Patches{} : replay_log(file, header.log, header.log_guid);
  const TablePages pages = patched_pages(file, patches);
  const Metadata metadata = read_metadata(pages, read_regions(pages).metadata);
  BlockFacts facts;
  facts.virtual_size = metadata.virtual_size;
  facts.block_size = metadata.block_size;
  facts.subformat = metadata.has_parent ? "differencing" : metadata.fixed ? "fixed" : "dynamic";
  facts.dirty = !header.log_is_empty();
  facts.backing_file = metadata.parent;
  facts.others = {{"creator", read_creator(file)},
                  {"logical sector size", std::uint64_t{metadata.logical_sector}},
                  {"physical sector size", std::uint64_t{metadata.physical_sector}}};
  return facts;
}

std::optional<ParentReference> parent_of(const io::File& file) {
  const Header header = read_header(file);
  const Patches patches =
      header.log_is_empty() ? Patches{} : replay_log(file, header.log, header.log_guid);
  const TablePages pages = patched_pages(file, patches);
  const Metadata metadata = read_metadata(pages, read_regions(pages).metadata);
  if (!metadata.has_parent) return std::nullopt;
  return ParentReference{metadata.parent, true, Format::vhdx, metadata.parent_ids};
}

std::string identity_of(const io::File& file) {
  const Guid guid = read_header(file).data_write_guid;
  const auto number = [&guid](std::size_t at, std::size_t bytes) {
    std::vector<std::byte> part(guid.begin() + static_cast<std::ptrdiff_t>(at),
                                guid.begin() + static_cast<std::ptrdiff_t>(at + bytes));
    std::reverse(part.begin(), part.end());
    return hex_of(part);
  };
  return fmt::format("{{{}-{}-{}-{}-{}}}", number(0, 4), number(4, 2), number(6, 2),
                     hex_of(std::span(guid).subspan(8, 2)), hex_of(std::span(guid).subspan(10)));
}

}  // namespace formats::vhdx
