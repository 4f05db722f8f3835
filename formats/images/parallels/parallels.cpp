#include "formats/images/parallels/parallels.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/block_owners.hpp"
#include "io/error.hpp"

namespace formats::parallels {
namespace {

constexpr std::string_view older_magic = "WithoutFreeSpace";
constexpr std::string_view newer_magic = "WithouFreSpacExt";
constexpr std::uint64_t sector = 512;
constexpr std::uint32_t version_2 = 2;
constexpr std::uint64_t largest_cluster = 256 * io::MiB;
constexpr std::uint64_t most_table_bytes = 64 * io::MiB;
constexpr std::uint32_t open_mark = 0x746f6e59;

// Where the fields are.
namespace at {
constexpr std::size_t version = 16;
constexpr std::size_t cluster = 28;
constexpr std::size_t entries = 32;
constexpr std::size_t sectors = 36;
constexpr std::size_t in_use = 44;
constexpr std::size_t data = 48;
}  // namespace at

bool begins_with(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

}  // namespace

bool has_magic(std::span<const std::byte> start) {
  return begins_with(start, older_magic) || begins_with(start, newer_magic);
}

Header read_header(const io::File& file) {
  std::array<std::byte, table_at> bytes{};
  const std::size_t count = file.read_at(0, bytes);
  const std::uint64_t file_size = file.size();
  const auto fail = [&](std::uint64_t at, const std::string& text) {
    throw io::Error::format(file.path(), at, text);
  };
  const auto u32 = [&](std::size_t at) { return load_little_endian<std::uint32_t>(bytes, at); };
  if (!has_magic(std::span(bytes).first(count))) fail(0, "is not a Parallels image");
  if (count < bytes.size()) fail(count, "ends inside the Parallels header");
  if (u32(at::version) != version_2) {
    throw io::Error(
        io::ErrorKind::unsupported, file.path(),
        fmt::format("is a Parallels image of version {}; imgtool knows 2", u32(at::version)));
  }
  Header header;
  header.places_in_clusters = begins_with(bytes, newer_magic);
  header.cluster_size = u32(at::cluster) * sector;
  header.entries = u32(at::entries);
  header.in_use = u32(at::in_use) == open_mark;
  // The older kind has other things in the upper half.
  const auto sectors = load_little_endian<std::uint64_t>(bytes, at::sectors);
  const std::uint64_t disk = header.places_in_clusters ? sectors : sectors & 0xffffffff;
  const std::uint64_t table_bytes = std::uint64_t{header.entries} * 4;
  if (header.cluster_size == 0 || header.cluster_size > largest_cluster) {
    fail(at::cluster, fmt::format("a cluster of {} bytes is impossible", header.cluster_size));
  }
  if (table_bytes > most_table_bytes) {
    fail(at::entries, fmt::format("a table of {} entries is too long", header.entries));
  }
  if (table_bytes > file_size - table_at) {
    fail(at::entries, fmt::format("a table of {} bytes goes past the end of the file ({} bytes)",
                                  table_bytes, file_size));
  }
  const std::uint64_t covered = header.entries * header.cluster_size / sector;
  if (disk > covered) {
    fail(at::sectors, fmt::format("the disk has {} sectors, its clusters only {}", disk, covered));
  }
  header.virtual_size = disk * sector;
  header.data_at = std::max(table_at + table_bytes, u32(at::data) * sector);
  return header;
}

BlockFacts read_facts(const io::File& file) {
  const Header header = read_header(file);
  BlockFacts facts;
  facts.virtual_size = header.virtual_size;
  facts.block_size = header.cluster_size;
  facts.dirty = header.in_use;
  facts.others = {{"places", header.places_in_clusters ? "in clusters" : "in sectors"}};
  return facts;
}

ParallelsMap::ParallelsMap(const io::File& file, const Header& header, BlockCheck* check)
    : EntryMap(header.virtual_size, header.cluster_size), pages_(file), header_(header) {
  BlockOwners owners(pages_.path(), pages_.file_size(), block_size(), check);
  owners.reserve({0, header_.data_at}, "the header or the table");
  for (std::uint64_t index = 0; index < header_.entries; ++index) {
    const std::uint32_t word = entry(index);
    if (word == 0) continue;
    owners.add(header_.place_of(word), content_of(index), index, table_at + index * 4);
  }
  owners.check();
  if (check != nullptr) owners.count_leaks();
}

std::uint32_t ParallelsMap::entry(std::uint64_t index) {
  return load_little_endian<std::uint32_t>(pages_.cached(table_at + index * 4, 4), 0);
}

StoredBlock ParallelsMap::block_at(std::uint64_t index) {
  const std::uint32_t word = entry(index);
  if (word == 0) return {BlockKind::absent};
  return {BlockKind::plain, header_.place_of(word)};
}

void check(const io::File& file, BlockCheck& check) {
  const Header header = read_header(file);
  if (header.in_use) {
    check.remark(fmt::format("{}: it was not closed by who wrote to it last", file.path()));
  }
  check.result().total_blocks = ParallelsMap(file, header, &check).block_count();
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  return std::make_unique<ParallelsMap>(file, read_header(file));
}

}  // namespace formats::parallels
