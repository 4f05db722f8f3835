#include "formats/images/qcow2/header_switch.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/header_bytes.hpp"
#include "formats/images/qcow2/header_layout.hpp"
#include "formats/images/qcow2/header_writer.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::size_t sector_bytes = 512;  // written whole or not at all

struct Extension {
  std::uint32_t type = 0;
  std::vector<std::byte> content;
};

// What the first cluster holds now.
struct Written {
  std::vector<std::byte> bytes;       // from the start of the file
  std::vector<Extension> extensions;  // as they follow one another
  std::uint64_t extensions_end = 0;
  std::uint64_t end = 0;  // of all that is in use
};

// parse_header() found nothing wrong with it.
Written read_written(const io::File& file, const Header& header) {
  Written written;
  written.bytes.resize(header.geometry.cluster_size());
  written.bytes.resize(std::max(file.read_at(0, written.bytes), sector_bytes));
  const std::span<const std::byte> bytes = written.bytes;
  const auto name = load_big_endian<std::uint64_t>(bytes, at::backing_offset);
  const std::uint64_t end = name == 0 ? bytes.size() : name;
  std::uint64_t offset = header.header_bytes;
  while (offset < end && end - offset >= 8) {
    const auto type = load_big_endian<std::uint32_t>(bytes, offset);
    const auto length = load_big_endian<std::uint32_t>(bytes, offset + 4);
    offset += 8;
    if (type == extension::end) break;
    const auto content = bytes.subspan(offset, length);
    written.extensions.push_back({type, {content.begin(), content.end()}});
    offset += io::align_up(length, 8);
  }
  written.extensions_end = written.end = offset;
  if (name != 0) written.end = std::max(written.end, name + header.backing_file.size());
  return written;
}

bool same_extensions(const Header& a, const Header& b) {
  const auto key = [](const Header& header) {
    const auto& bitmaps = header.bitmaps;
    return std::array<std::uint64_t, 4>{header.version, bitmaps ? bitmaps->offset.value : 0,
                                        bitmaps ? bitmaps->bytes : 0, bitmaps ? bitmaps->count : 0};
  };
  return key(a) == key(b) && a.backing_file == b.backing_file &&
         a.backing_format == b.backing_format;
}

void put_changed_fields(HeaderBytes& bytes, const Header& now, const Header& next,
                        std::span<const std::byte> old) {
  bytes.put<std::uint32_t>(at::version, next.version);
  // The field may hold more than whole sectors.
  if (next.virtual_size != now.virtual_size) {
    bytes.put<std::uint64_t>(at::virtual_size, next.virtual_size);
  }
  bytes.put<std::uint32_t>(at::l1_size, next.l1_entries);
  bytes.put<std::uint64_t>(at::l1_offset, next.l1_offset.value);
  bytes.put<std::uint64_t>(at::refcount_table_offset, next.refcount_table_offset.value);
  bytes.put<std::uint32_t>(at::refcount_table_clusters, next.refcount_table_clusters);
  bytes.put<std::uint32_t>(at::snapshot_count, next.snapshot_count);
  bytes.put<std::uint64_t>(at::snapshots_offset, next.snapshots_offset.value);
  if (next.version < 3) return;
  const bool upgraded = now.version < 3;
  std::uint64_t compatible = 0;
  std::uint64_t autoclear = 0;
  if (upgraded) {
    bytes.put<std::uint32_t>(at::refcount_order, 4);
    bytes.put<std::uint32_t>(at::header_length, written_v3_header_bytes);
  } else {
    compatible = load_big_endian<std::uint64_t>(old, at::compatible) & ~std::uint64_t{1};
    autoclear = load_big_endian<std::uint64_t>(old, at::autoclear) & known_autoclear_bits &
                ~std::uint64_t{1};
  }
  bytes.put<std::uint64_t>(at::compatible, compatible | (next.lazy_refcounts ? 1 : 0));
  bytes.put<std::uint64_t>(at::autoclear, autoclear | (next.bitmaps_consistent ? 1 : 0));
}

std::vector<std::byte> bitmaps_content(const BitmapDirectory& directory) {
  std::vector<std::byte> content(24);
  store_big_endian<std::uint32_t>(content, 0, directory.count);
  store_big_endian<std::uint64_t>(content, 8, directory.bytes);
  store_big_endian<std::uint64_t>(content, 16, directory.offset.value);
  return content;
}

std::vector<std::byte> names_of_features_in_use(const HeaderBytes& bytes) {
  return feature_names([&](unsigned word, unsigned bit) {
    return (bytes.at<std::uint64_t>(at::incompatible + 8 * std::size_t{word}) >> bit & 1) != 0;
  });
}

// Fields and extensions, without the name.
HeaderBytes laid_out(const Written& written, const Header& now, const Header& next) {
  std::vector<std::byte> fields = written.bytes;
  fields.resize(now.header_bytes);
  if (next.version >= 3 && fields.size() < written_v3_header_bytes) {
    // Programs from before the compression type wrote 104 bytes; 0 means what they meant.
    fields.resize(now.version < 3 ? written_v3_header_bytes : fields.size());
  }
  HeaderBytes bytes(std::move(fields));
  put_changed_fields(bytes, now, next, written.bytes);
  if (!next.backing_file.empty() && !next.backing_format.empty()) {
    bytes.extension(extension::backing_format, next.backing_format);
  }
  if (next.bitmaps) bytes.extension(extension::bitmaps, bitmaps_content(*next.bitmaps));
  for (const Extension& one : written.extensions) {
    if (one.type == extension::backing_format || one.type == extension::bitmaps ||
        one.type == extension::feature_names) {
      continue;
    }
    bytes.extension(one.type, one.content);
  }
  if (next.version < 3) return bytes;
  const auto names = names_of_features_in_use(bytes);
  if (!names.empty() && bytes.size() + 8 + names.size() + 8 <= sector_bytes) {
    bytes.extension(extension::feature_names, names);
  }
  return bytes;
}

// Where a name of so many bytes goes when the list of extensions ends at `end`: into the first
// sector, or to where nothing is that is in use.
std::optional<std::uint64_t> place_of_name(const Written& written, const Header& now,
                                           std::uint64_t end, std::uint64_t length) {
  if (end + length <= sector_bytes) return end;
  const std::uint64_t behind = std::max<std::uint64_t>(written.end, sector_bytes);
  if (behind + length <= now.geometry.cluster_size()) return behind;
  const auto old_name = load_big_endian<std::uint64_t>(written.bytes, at::backing_offset);
  if (written.extensions_end <= sector_bytes && old_name >= sector_bytes + length) {
    return sector_bytes;
  }
  return std::nullopt;
}

[[noreturn]] void refuse_header(const io::File& file, std::string text) {
  throw io::Error(io::ErrorKind::unsupported, file.path(), std::move(text));
}

void write_anew(const io::File& file, const Header& now, const Header& next) {
  const Written written = read_written(file, now);
  HeaderBytes bytes = laid_out(written, now, next);
  bytes.extension(extension::end, std::string_view());
  if (bytes.size() > sector_bytes) {
    refuse_header(
        file,
        "has extensions in its header that leave no room to change it in one step; convert it, "
        "which makes a new one");
  }
  const std::string& name = next.backing_file;
  std::uint64_t place = 0;
  if (!name.empty()) {
    const auto found = place_of_name(written, now, bytes.size(), name.size());
    if (!found) {
      refuse_header(
          file, "has no room in its header for the name of the backing file; a shorter one fits");
    }
    place = *found;
  }
  bytes.put<std::uint64_t>(at::backing_offset, place);
  bytes.put<std::uint32_t>(at::backing_size, static_cast<std::uint32_t>(name.size()));
  if (place == bytes.size()) {
    bytes.append(name);
  } else if (place != 0) {
    file.write_at(place, std::as_bytes(std::span(name)));
  }
  file.sync();
  file.write_at(0, std::move(bytes).take(sector_bytes));
}

void write_fields(const io::File& file, const Header& now, const Header& next) {
  std::vector<std::byte> sector(sector_bytes);
  file.read_at(0, sector);
  HeaderBytes bytes(sector);
  put_changed_fields(bytes, now, next, sector);
  file.sync();
  file.write_at(0, std::move(bytes).take(sector_bytes));
}

}  // namespace

void write_header(const io::File& file, const Header& next) {
  const Header now = read_header(file);
  same_extensions(now, next) ? write_fields(file, now, next) : write_anew(file, now, next);
  file.sync();
}

}  // namespace formats::qcow2
