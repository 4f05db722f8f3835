#include <algorithm>
#include <array>

#include "formats/bytes/big_endian.hpp"
#include "formats/disks/filesystems/opaque_kinds.hpp"

namespace formats::filesystems {
namespace {

using namespace std::string_view_literals;

bool has_sun_label(DiskView& volume) { return has_bytes(volume, 508, "\xda\xbe"sv); }

bool has_sgi_label(DiskView& volume) { return has_bytes(volume, 0, "\x0b\xe5\xa9\x41"sv); }

// Where it lies depends on the machine; the magic number stands in it twice.
bool has_bsd_label(DiskView& volume) {
  constexpr std::string_view magic = "\x57\x45\x56\x82"sv;
  constexpr std::uint64_t second_magic = 132;
  constexpr auto places = std::to_array<std::uint64_t>({512, 64, 128});
  return std::any_of(places.begin(), places.end(), [&](std::uint64_t place) {
    return has_bytes(volume, place, magic) && has_bytes(volume, place + second_magic, magic);
  });
}

// The table of contents inside a Solaris partition, and UnixWare's.
bool has_system_v_table(DiskView& volume) {
  return has_bytes(volume, 512 + 12, "\xee\xde\x0d\x60"sv) ||
         has_bytes(volume, 29 * 512 + 4, "\x0d\x60\x5e\xca"sv);
}

bool has_apple_map(DiskView& volume) {
  return has_bytes(volume, 512, "PM\0\0"sv) || has_bytes(volume, 2048, "PM\0\0"sv);
}

// Without a magic number: entries of a flag, three letters, and a range that lies on the disk.
bool has_atari_table(DiskView& volume) {
  constexpr std::size_t first_entry = 454, entry_size = 12, entries = 4;
  constexpr auto ids = std::to_array<std::string_view>({"GEM", "BGM", "LNX", "SWP", "RAW", "XGM"});
  if (!volume.holds(0, 512)) return false;
  const auto sector = volume.read(0, 512);
  for (std::size_t at = first_entry; at < first_entry + entries * entry_size; at += entry_size) {
    const std::string_view id(reinterpret_cast<const char*>(&sector[at + 1]), 3);
    const std::uint64_t begin = load_big_endian<std::uint32_t>(sector, at + 4);
    const std::uint64_t length = load_big_endian<std::uint32_t>(sector, at + 8);
    if ((std::to_integer<unsigned>(sector[at]) & 1) != 0 && length > 0 &&
        begin + length <= volume.size() / 512 &&
        std::find(ids.begin(), ids.end(), id) != ids.end()) {
      return true;
    }
  }
  return false;
}

// A volume label in EBCDIC, in the third block: "VOL1" behind its key, "LNX1", "CMS1".
bool has_dasd_label(DiskView& volume) {
  constexpr auto block_sizes = std::to_array<std::uint64_t>({512, 1024, 2048, 4096});
  return std::any_of(block_sizes.begin(), block_sizes.end(), [&](std::uint64_t size) {
    return has_bytes(volume, 2 * size + 4, "\xe5\xd6\xd3\xf1"sv) ||
           has_bytes(volume, 2 * size, "\xd3\xd5\xe7\xf1"sv) ||
           has_bytes(volume, 2 * size, "\xc3\xd4\xe2\xf1"sv);
  });
}

struct Table {
  std::string_view type;
  bool (*is_there)(DiskView&);
};
constexpr auto tables = std::to_array<Table>({
    {"Sun partition table", has_sun_label},
    {"SGI partition table", has_sgi_label},
    {"BSD partition table", has_bsd_label},
    {"System V partition table", has_system_v_table},
    {"Apple partition table", has_apple_map},
    {"Atari partition table", has_atari_table},
    {"DASD partition table", has_dasd_label},
});

}  // namespace

void find_foreign_tables(DiskView& volume, OpaqueTypes& types) {
  for (const Table& table : tables) {
    if (table.is_there(volume)) types.insert(table.type);
  }
}

}  // namespace formats::filesystems
