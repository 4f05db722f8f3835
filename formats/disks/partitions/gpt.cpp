#include "formats/disks/partitions/gpt.hpp"

#include <algorithm>
#include <cassert>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32.hpp"
#include "formats/bytes/little_endian.hpp"

namespace formats::partitions {
namespace {

constexpr std::string_view signature = "EFI PART";
constexpr std::uint32_t least_header = 92;
constexpr std::uint32_t least_entry = 128;
constexpr std::uint32_t most_entry = 4096;
constexpr std::uint64_t most_array = 4 * io::MiB;
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 62;  // no disk is larger
constexpr std::size_t name_units = 36;

namespace at {
constexpr std::size_t header_size = 12;
constexpr std::size_t header_crc = 16;
constexpr std::size_t my_lba = 24;
constexpr std::size_t other_lba = 32;
constexpr std::size_t first_usable = 40;
constexpr std::size_t last_usable = 48;
constexpr std::size_t disk_id = 56;
constexpr std::size_t entries = 72;
constexpr std::size_t entry_count = 80;
constexpr std::size_t entry_size = 84;
constexpr std::size_t array_crc = 88;
}  // namespace at

std::uint32_t header_crc(std::span<const std::byte> header) {
  std::vector<std::byte> copy(header.begin(), header.end());
  store_little_endian<std::uint32_t>(copy, at::header_crc, 0);
  return crc32(0, copy);
}

void append_utf8(std::string& text, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

// UTF-16 up to the first zero; half a pair becomes U+FFFD.
std::string load_name(std::span<const std::byte> entry) {
  constexpr std::uint32_t replacement = 0xfffd;
  std::string text;
  const auto unit = [&](std::size_t index) -> std::uint32_t {
    return index < name_units ? load_little_endian<std::uint16_t>(entry, 56 + 2 * index) : 0;
  };
  for (std::size_t i = 0; i < name_units && unit(i) != 0; ++i) {
    const std::uint32_t code = unit(i);
    const bool pair =
        code >= 0xd800 && code < 0xdc00 && unit(i + 1) >= 0xdc00 && unit(i + 1) < 0xe000;
    if (pair) {
      ++i;
      append_utf8(text, 0x10000 + ((code & 0x3ff) << 10) + (unit(i) & 0x3ff));
    } else {
      append_utf8(text, code >= 0xd800 && code < 0xe000 ? replacement : code);
    }
  }
  return text;
}

std::vector<io::Patch> copy_at(const Gpt& table, std::uint64_t header_at, std::uint64_t other,
                               std::uint64_t entries) {
  io::Patch header{header_at * table.sector_size, table.header};
  header.bytes.resize(table.sector_size);
  auto fields = std::span(header.bytes).first(table.header.size());
  store_little_endian(fields, at::my_lba, header_at);
  store_little_endian(fields, at::other_lba, other);
  store_little_endian(fields, at::first_usable, table.first_usable);
  store_little_endian(fields, at::last_usable, table.last_usable);
  std::copy(table.disk_id.bytes.begin(), table.disk_id.bytes.end(),
            fields.begin() + static_cast<std::ptrdiff_t>(at::disk_id));
  store_little_endian(fields, at::entries, entries);
  store_little_endian(fields, at::entry_count, table.entry_count);
  store_little_endian(fields, at::entry_size, table.entry_size);
  store_little_endian(fields, at::array_crc, crc32(0, table.array));
  store_little_endian(fields, at::header_crc, header_crc(fields));
  io::Patch array{entries * table.sector_size, table.array};
  array.bytes.resize(table.array_blocks() * table.sector_size);
  std::vector<io::Patch> both;
  both.reserve(2);
  both.push_back(std::move(array));
  both.push_back(std::move(header));
  return both;
}

// What is wrong with the header's fields, before its array is looked at; or "".
std::string fault(const GptCopy& copy, std::span<const std::byte> header, std::uint64_t size) {
  const Gpt& table = copy.table;
  if (load_little_endian<std::uint64_t>(header, at::my_lba) != copy.header_at) {
    return "it says that it belongs elsewhere";
  }
  if (table.entry_size < least_entry || table.entry_size > most_entry ||
      table.entry_size % 8 != 0) {
    return fmt::format("its entries have {} bytes", table.entry_size);
  }
  if (table.entry_count == 0 || std::uint64_t{table.entry_count} * table.entry_size > most_array) {
    return fmt::format("it has {} entries", table.entry_count);
  }
  const std::uint64_t blocks = size / table.sector_size;
  if (copy.entries_at < 2 || copy.entries_at >= blocks ||
      table.array_blocks() > blocks - copy.entries_at) {
    return "its entries lie outside the disk";
  }
  const bool shares_header =
      copy.header_at >= copy.entries_at && copy.header_at - copy.entries_at < table.array_blocks();
  if (shares_header) return "its entries lie over its header";
  // A backup that is written elsewhere one day must not come to lie over the first copy.
  const bool primary = copy.header_at == 1;
  if (primary && copy.entries_at + table.array_blocks() > table.first_usable) {
    return "its entries lie where partitions may lie";
  }
  const std::uint64_t most_blocks = most_bytes / table.sector_size;
  if (table.first_usable > table.last_usable || table.last_usable >= most_blocks ||
      copy.other >= most_blocks) {
    return "its usable range makes no sense";
  }
  return "";
}

void load_fields(GptCopy& copy, std::span<const std::byte> header) {
  Gpt& table = copy.table;
  table.first_usable = load_little_endian<std::uint64_t>(header, at::first_usable);
  table.last_usable = load_little_endian<std::uint64_t>(header, at::last_usable);
  table.disk_id = load_guid(header, at::disk_id);
  table.entry_count = load_little_endian<std::uint32_t>(header, at::entry_count);
  table.entry_size = load_little_endian<std::uint32_t>(header, at::entry_size);
  copy.entries_at = load_little_endian<std::uint64_t>(header, at::entries);
  copy.other = load_little_endian<std::uint64_t>(header, at::other_lba);
}

// Where partitions lie, as far as one copy can tell.
std::string fault_of_entries(const Gpt& table) {
  for (std::uint32_t index = 0; index < table.entry_count; ++index) {
    const GptEntry entry = table.entry(index);
    if (!entry.used()) continue;
    if (entry.first > entry.last || entry.last >= most_bytes / table.sector_size) {
      return fmt::format("partition {} ends before it begins", index + 1);
    }
  }
  return "";
}

}  // namespace

bool has_header_signature(std::span<const std::byte> bytes) {
  return bytes.size() >= signature.size() &&
         std::equal(signature.begin(), signature.end(), bytes.begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

GptEntry Gpt::entry(std::uint32_t index) const {
  assert(index < entry_count);
  const auto bytes = std::span(array).subspan(std::size_t{index} * entry_size, least_entry);
  GptEntry entry;
  entry.type = load_guid(bytes, 0);
  if (!entry.used()) return entry;
  entry.id = load_guid(bytes, 16);
  entry.first = load_little_endian<std::uint64_t>(bytes, 32);
  entry.last = load_little_endian<std::uint64_t>(bytes, 40);
  entry.attributes = load_little_endian<std::uint64_t>(bytes, 48);
  entry.name = load_name(bytes);
  return entry;
}

void Gpt::set_range(std::uint32_t index, std::uint64_t first, std::uint64_t last) {
  assert(index < entry_count);
  const std::size_t begin = std::size_t{index} * entry_size;
  store_little_endian(std::span(array), begin + 32, first);
  store_little_endian(std::span(array), begin + 40, last);
}

std::uint64_t Gpt::array_blocks() const {
  return (std::uint64_t{entry_count} * entry_size + sector_size - 1) / sector_size;
}

std::uint64_t Gpt::end_of_partitions() const {
  std::uint64_t end = 0;
  for (std::uint32_t index = 0; index < entry_count; ++index) {
    const GptEntry each = entry(index);
    if (each.used()) end = std::max(end, each.last + 1);
  }
  return end;
}

std::uint64_t Gpt::least_blocks() const {
  return std::max(end_of_partitions(), first_usable + 1) + array_blocks() + 1;
}

void Gpt::fit(std::uint64_t blocks) {
  assert(blocks >= least_blocks());
  backup = blocks - 1;
  last_usable = backup - array_blocks() - 1;
}

std::vector<io::Patch> Gpt::primary_patches() const {
  return copy_at(*this, 1, backup, primary_entries);
}

std::vector<io::Patch> Gpt::backup_patches() const {
  return copy_at(*this, backup, 1, backup - array_blocks());
}

std::optional<GptCopy> read_gpt_copy(DiskView& disk, std::uint64_t sector_size, std::uint64_t block,
                                     std::string& problem) {
  problem.clear();
  if (block >= disk.size() / sector_size) return std::nullopt;
  const auto sector = disk.read(block * sector_size, sector_size);
  if (!has_header_signature(sector)) return std::nullopt;
  const auto size = load_little_endian<std::uint32_t>(sector, at::header_size);
  if (size < least_header || size > sector_size) {
    problem = fmt::format("its header says it has {} bytes", size);
    return std::nullopt;
  }
  const auto header = std::span(sector).first(size);
  if (!checksum_fits(load_little_endian<std::uint32_t>(header, at::header_crc),
                     header_crc(header))) {
    problem = "the checksum of its header is wrong";
    return std::nullopt;
  }
  GptCopy copy;
  copy.table.sector_size = sector_size;
  copy.table.header.assign(header.begin(), header.end());
  copy.header_at = block;
  load_fields(copy, header);
  problem = fault(copy, header, disk.size());
  if (!problem.empty()) return std::nullopt;
  copy.table.array = disk.read(copy.entries_at * sector_size,
                               std::size_t{copy.table.entry_count} * copy.table.entry_size);
  if (!checksum_fits(load_little_endian<std::uint32_t>(header, at::array_crc),
                     crc32(0, copy.table.array))) {
    problem = "the checksum of its entries is wrong";
    return std::nullopt;
  }
  problem = fault_of_entries(copy.table);
  if (!problem.empty()) return std::nullopt;
  return copy;
}

std::optional<std::uint64_t> gpt_sector_size(DiskView& disk) {
  for (const std::uint64_t size : {512U, 4096U}) {
    if (disk.holds(size, signature.size()) &&
        has_header_signature(disk.read(size, signature.size()))) {
      return size;
    }
  }
  return std::nullopt;
}

}  // namespace formats::partitions
