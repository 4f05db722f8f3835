#include "formats/images/vmdk/map.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/inflate.hpp"
#include "formats/images/vmdk/sesparse.hpp"
#include "io/error.hpp"

namespace formats::vmdk {
namespace {

constexpr std::size_t length_bytes = 4;  // where there are no markers

// Two grains begin no closer to each other than one of them is long at least.
std::uint64_t least_distance(const Header& header) {
  return header.compressed ? sector : header.grain_bytes();
}

std::string at_sector(std::uint64_t offset) { return fmt::format("sector {}", offset / sector); }

}  // namespace

SparseMap::SparseMap(const io::File& file, const Header& header, BlockCheck* check)
    : EntryMap(header.capacity * sector, header.grain_bytes()),
      pages_(file),
      header_(header),
      check_(check),
      checked_(header.tables()),
      owners_(file.path(), pages_.file_size(), least_distance(header)) {
  read_directory();
}

// --- tables -----------------------------------------------------------------------------------

void SparseMap::read_directory() {
  const std::uint64_t size = pages_.file_size();
  const std::uint64_t count = header_.tables();
  if (header_.directory == 0 || header_.directory > size / sector ||
      count * 4 > size - header_.directory * sector) {
    throw io::Error::format(pages_.path(), 0,
                            fmt::format("the grain directory of {} bytes at sector {} goes past "
                                        "the end of the file ({} bytes): it was cut short",
                                        count * 4, header_.directory, size));
  }
  const std::uint64_t at = header_.directory * sector;
  metadata_ = {{0, header_.bytes},
               {header_.descriptor * sector, header_.descriptor_length * sector},
               {at, count * 4}};
  for (std::uint64_t number = 0; number < count; ++number) {
    const auto word = load_little_endian<std::uint32_t>(pages_.cached(at + number * 4, 4), 0);
    const std::uint64_t table = word * sector;
    if (table > size || header_.table_bytes() > size - table) {
      report(check_, io::Error::format(
                         pages_.path(), at + number * 4,
                         fmt::format("grain table {} is said to be at {}, but the file ends at {}: "
                                     "it was cut short",
                                     number, at_sector(table), size)));
      tables_.push_back(0);
      continue;
    }
    tables_.push_back(table);
    if (table != 0) metadata_.push_back({table, header_.table_bytes()});
  }
  std::erase_if(metadata_, [](const io::ByteRange& range) { return range.empty(); });
  std::sort(metadata_.begin(), metadata_.end(),
            [](const auto& a, const auto& b) { return a.offset < b.offset; });
  const auto overlap = [](const auto& a, const auto& b) { return b.offset < a.end(); };
  for (auto from = metadata_.begin();;) {
    const auto shared = std::adjacent_find(from, metadata_.end(), overlap);
    if (shared == metadata_.end()) return;
    report(check_, io::Error::format(pages_.path(), (shared + 1)->offset,
                                     "two tables, or one and the header, are said to be here: the "
                                     "image is damaged"));
    from = shared + 1;
  }
}

// How long packed grains are stands before them; so what is leaked is not known.
void SparseMap::check_all() {
  for (std::uint64_t number = 0; number < tables_.size(); ++number) (void)load_table(number);
  BlockCheckResult& result = check_->result();
  result.total_blocks = block_count();
  if (header_.compressed) result.compressed_blocks = result.allocated_blocks;
  result.image_end = pages_.file_size();
}

bool SparseMap::load_table(std::uint64_t number) {
  if (number >= tables_.size() || tables_[number] == 0) return false;
  if (table_number_ == number) return true;
  const std::uint64_t at = tables_[number];
  // Where all tables are made in advance, most of them are holes of the file.
  if (pages_.is_hole(at, header_.table_bytes())) {
    tables_[number] = 0;
    return false;
  }
  table_number_.reset();
  table_.clear();
  while (table_.size() < header_.entries) {
    const std::uint64_t done = table_.size() * sizeof(std::uint32_t);
    const auto words = pages_.cached(at + done, header_.table_bytes() - done);
    for (std::size_t i = 0; i + sizeof(std::uint32_t) <= words.size(); i += sizeof(std::uint32_t)) {
      table_.push_back(load_little_endian<std::uint32_t>(words, i));
    }
  }
  check_table(number);
  table_number_ = number;
  return true;
}

void SparseMap::check_table(std::uint64_t number) {
  if (checked_[number]) return;
  for (std::uint64_t in_table = 0; in_table < header_.entries; ++in_table) {
    const std::uint64_t index = number * header_.entries + in_table;
    if (index >= block_count() || !is_stored(table_[in_table])) continue;
    check_grain(index, table_[in_table] * sector, tables_[number] + in_table * 4);
  }
  checked_[number] = true;
}

void SparseMap::check_grain(std::uint64_t index, std::uint64_t offset, std::uint64_t entry_at) {
  const auto fail = [&](const std::string& why) {
    report(check_, io::Error::format(pages_.path(), entry_at,
                                     fmt::format("grain {} is said to be at {}, {}", index,
                                                 at_sector(offset), why)));
  };
  const std::uint64_t size = pages_.file_size();
  const std::uint64_t needed = header_.compressed ? grain_marker_bytes : content_of(index);
  if (offset >= size || needed > size - offset) {
    fail(fmt::format("but the file ends at {}: it was cut short", size));
    return;
  }
  if (check_ != nullptr) ++check_->result().allocated_blocks;
  const auto behind = std::upper_bound(
      metadata_.begin(), metadata_.end(), offset,
      [](std::uint64_t at, const io::ByteRange& range) { return at < range.end(); });
  if (behind != metadata_.end() && behind->offset < offset + needed) {
    fail("where the header or a table is");
    return;
  }
  if (!owners_.take({offset, 1})) fail("where another one is");
}

// --- grains -----------------------------------------------------------------------------------

bool SparseMap::is_stored(std::uint32_t entry) const {
  return entry > (header_.zero_grains ? 1U : 0U);
}

StoredBlock SparseMap::block_at(std::uint64_t index) {
  const std::uint64_t in_table = index % header_.entries;
  StoredBlock block;
  if (!load_table(index / header_.entries)) {
    block.alike = header_.entries - in_table;
    return block;
  }
  const auto entry = table_.begin() + static_cast<std::ptrdiff_t>(in_table);
  if (*entry == 0) {
    const auto next =
        std::find_if(entry, table_.end(), [](std::uint32_t word) { return word != 0; });
    block.alike = static_cast<std::uint64_t>(next - entry);
    return block;
  }
  if (!is_stored(*entry)) return {BlockKind::zero};
  const std::uint64_t offset = *entry * sector;
  if (!header_.compressed) return {BlockKind::plain, offset};
  return {BlockKind::packed, offset, packed_bytes(in_table)};
}

// How long it is stands before it, in what is to be read. At most twice a grain and a marker; less
// where the next grain begins before that.
std::uint32_t SparseMap::packed_bytes(std::uint64_t in_table) const {
  const std::uint64_t offset = table_[in_table] * sector;
  std::uint64_t bytes =
      std::min(io::align_up(2 * header_.grain_bytes() + grain_marker_bytes, sector),
               pages_.file_size() - offset);
  if (in_table + 1 < table_.size()) {
    const std::uint64_t next = table_[in_table + 1] * sector;
    if (next > offset) bytes = std::min(bytes, next - offset);
  }
  return static_cast<std::uint32_t>(bytes);
}

bool SparseMap::unpack(std::uint64_t guest, std::span<const std::byte> stream,
                       std::span<std::byte> block) const {
  const std::size_t head = header_.markers ? grain_marker_bytes : length_bytes;
  if (stream.size() < head) return false;
  if (header_.markers && load_little_endian<std::uint64_t>(stream, 0) != guest / sector) {
    return false;
  }
  const auto length = load_little_endian<std::uint32_t>(stream, head - length_bytes);
  if (length > stream.size() - head) return false;
  const auto unpacked = inflate_zlib(stream.subspan(head, length), block);
  if (!unpacked || *unpacked < content_of(guest / block_size())) return false;
  const auto rest = block.subspan(*unpacked);
  std::fill(rest.begin(), rest.end(), std::byte{0});
  return true;
}

void check(const io::File& file, BlockCheck& check) {
  if (is_descriptor(file)) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    "is the descriptor of a VMware disk; check the files that it names");
  }
  const Header header = read_extent_header(file);
  if (header.descriptor != 0) (void)read_layout(file);
  if (header.unclean) {
    check.remark(fmt::format("{}: it was not closed by who wrote to it last", file.path()));
  }
  SparseMap(file, header, &check).check_all();
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  if (is_descriptor(file)) {
    throw io::Error::refusal(file.path(),
                             "is the descriptor of a VMware disk, whose content is in other files");
  }
  return std::make_unique<SparseMap>(file, read_layout(file).header);
}

std::unique_ptr<BlockMap> open_extent_map(const io::File& file, const ExtentLine& extent) {
  auto map = extent.type == "sesparse"
                 ? open_sesparse_map(file)
                 : std::make_unique<SparseMap>(file, read_extent_header(file));
  if (map->guest_size() == extent.sectors * sector) return map;
  throw io::Error::format(
      file.path(), 0,
      fmt::format("holds {} bytes of the disk, and its descriptor says {}: they do not belong "
                  "together",
                  map->guest_size(), extent.sectors * sector));
}

}  // namespace formats::vmdk
