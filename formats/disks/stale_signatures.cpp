#include "formats/disks/stale_signatures.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "formats/bytes/little_endian.hpp"

namespace formats {
namespace {

using io::KiB;

constexpr std::uint64_t signature_sector = 512;

bool says(const std::vector<std::byte>& bytes, std::size_t at, std::string_view text) {
  if (bytes.size() < at + text.size()) return false;
  return std::equal(text.begin(), text.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

// Both byte orders of md 0.90, which is in the machine's own.
constexpr std::string_view md_magic{"\xfc\x4e\x2b\xa9", 4};
constexpr std::string_view md_magic_big{"\xa9\x2b\x4e\xfc", 4};
constexpr std::string_view ddf_magic{"\xde\x11\xde\x11", 4};
constexpr std::string_view ddf_magic_little{"\x11\xde\x11\xde", 4};
constexpr std::string_view imsm_magic{"Intel Raid ISM Cfg Sig. "};
constexpr std::uint64_t zfs_magic = 0x00bab10c;

// A signature of a few bytes at one place.
struct Place {
  const char* what;
  std::uint64_t offset;
  std::uint64_t length;  // of what is wiped
  std::array<std::string_view, 2> magic;
};

std::vector<Place> places_on(std::uint64_t size) {
  std::vector<Place> places;
  if (size < 256 * KiB) return places;
  const std::uint64_t sectors = size / signature_sector;
  places.push_back({"md RAID 0.90",
                    io::align_down(size, 64 * KiB) - 64 * KiB,
                    4 * KiB,
                    {md_magic, md_magic_big}});
  places.push_back({"md RAID 1.0",
                    io::align_down(sectors - 16, 8) * signature_sector,
                    4 * KiB,
                    {md_magic, md_magic}});
  for (const std::uint64_t from_end : {std::uint64_t{1}, std::uint64_t{257}}) {
    places.push_back({"DDF RAID",
                      (sectors - from_end) * signature_sector,
                      signature_sector,
                      {ddf_magic, ddf_magic_little}});
  }
  places.push_back({"Intel RAID",
                    (sectors - 2) * signature_sector,
                    2 * signature_sector,
                    {imsm_magic, imsm_magic}});
  return places;
}

// The two labels at the end, with their rings of uberblocks, of which each alone would do.
void find_zfs(DiskView& disk, std::uint64_t from, std::vector<StaleSignature>& found) {
  constexpr std::uint64_t label = 256 * KiB;
  constexpr std::uint64_t ring = 128 * KiB;
  constexpr std::uint64_t step = 1 * KiB;
  if (disk.size() < 4 * label) return;
  const std::uint64_t end = io::align_down(disk.size(), label);
  for (std::uint64_t at = std::max(end - 2 * label, io::align_up(from, label)); at < end;
       at += label) {
    const auto uberblocks = disk.read(at + ring, label - ring);
    for (std::size_t place = 0; place + 8 <= uberblocks.size(); place += step) {
      const auto little = load_little_endian<std::uint64_t>(uberblocks, place);
      if (little != zfs_magic && little != __builtin_bswap64(zfs_magic)) continue;
      found.push_back({"ZFS", {at, label}});
      break;
    }
  }
}

}  // namespace

std::vector<StaleSignature> stale_signatures(DiskView& disk, std::uint64_t from) {
  std::vector<StaleSignature> found;
  for (const Place& place : places_on(disk.size())) {
    if (place.offset < from) continue;
    const io::ByteRange range =
        io::range_between(place.offset, std::min(place.offset + place.length, disk.size()));
    const auto bytes = disk.read(range.offset, range.length);
    if (!says(bytes, 0, place.magic[0]) && !says(bytes, 0, place.magic[1])) continue;
    found.push_back({place.what, range});
  }
  find_zfs(disk, from, found);
  std::sort(found.begin(), found.end(), [](const StaleSignature& a, const StaleSignature& b) {
    return a.range.offset < b.range.offset;
  });
  // One over another is wiped with it.
  for (std::size_t index = 1; index < found.size();) {
    const bool overlaps = found[index].range.offset < found[index - 1].range.end();
    if (!overlaps) {
      ++index;
      continue;
    }
    found[index - 1].what += ", " + found[index].what;
    const std::uint64_t end = std::max(found[index - 1].range.end(), found[index].range.end());
    found[index - 1].range = io::range_between(found[index - 1].range.offset, end);
    found.erase(found.begin() + static_cast<std::ptrdiff_t>(index));
  }
  return found;
}

}  // namespace formats
