#include "formats/disks/filesystems/probe.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/disks/filesystems/btrfs.hpp"
#include "formats/disks/filesystems/exfat.hpp"
#include "formats/disks/filesystems/ext.hpp"
#include "formats/disks/filesystems/f2fs.hpp"
#include "formats/disks/filesystems/fat.hpp"
#include "formats/disks/filesystems/ntfs.hpp"
#include "formats/disks/filesystems/opaque.hpp"
#include "formats/disks/filesystems/ranges.hpp"
#include "formats/disks/filesystems/swap.hpp"
#include "formats/disks/filesystems/xfs.hpp"
#include "formats/disks/lvm/lvm.hpp"
#include "io/error.hpp"

namespace formats::filesystems {
namespace {

// One line for each file system.
constexpr auto all_probers = std::to_array<Prober>({
    probe_opaque,
    probe_btrfs,
    probe_ext,
    probe_lvm,
    probe_swap,
    probe_fat,
    probe_exfat,
    probe_f2fs,
    probe_ntfs,
    probe_xfs,
});

// What all parsers said.
struct Claims {
  std::vector<FileSystem> found;
  std::string failed;  // why one of them could not tell
};

Claims ask(DiskView& volume, MapCheck check, std::span<const Prober> probers) {
  Claims claims;
  try {
    if (volume.is_hole()) return claims;  // zeros are of no kind
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
  }
  for (const Prober prober : probers) {
    try {
      if (auto found = prober(volume, check)) claims.found.push_back(std::move(*found));
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled) throw;
      claims.failed = error.what();
    }
  }
  return claims;
}

std::string joined_types(const std::vector<FileSystem>& found) {
  std::string text;
  for (const FileSystem& claim : found) text += (text.empty() ? "" : " and ") + claim.type;
  return text;
}

FileSystem kept(FileSystem found, Reason reason, std::string because, std::string remedy = "") {
  found.keep(reason, std::move(because), std::move(remedy));
  return found;
}

// Ranges that begin behind `end` go, one that crosses it is cut.
void clip(std::vector<io::ByteRange>& ranges, std::uint64_t end) {
  for (io::ByteRange& range : ranges) range = io::intersection(range, io::ByteRange{0, end});
  std::erase_if(ranges, [](const io::ByteRange& range) { return range.empty(); });
}

// Looks at what lies behind the end that it claims, inside the volume or outside of it.
void fit(FileSystem& found, DiskView& volume, const Surroundings& around) {
  if (found.size < volume.size() && has_hashes_behind(volume, found.size)) {
    found.holds_hashes = true;
    if (found.kept_whole()) return;
    found.keep(Reason::hashed, "hashes over its blocks lie behind it, over the free ones too");
  }
  if (found.kept_whole() || found.size <= volume.size()) return;
  const std::uint64_t beyond = found.size - volume.size();
  if (around.last_on_disk && beyond < io::MiB) {
    clip(found.free, volume.size());
    found.warning = fmt::format("the file system is {} bytes longer than its volume", beyond);
    return;
  }
  found.keep(Reason::cut_off,
             fmt::format("the file system is {} bytes longer than its volume: this is a part "
                         "of a RAID, or was cut off",
                         beyond),
             "assemble the RAID and take the image from there");
}

// What a parser must never answer, whatever it read: its own bug would cost data.
bool sound(const FileSystem& found) {
  std::uint64_t end = 0;
  for (const io::ByteRange& range : found.free) {
    if (range.empty() || range.offset < end || range.length > found.size ||
        range.offset > found.size - range.length) {
      return false;
    }
    end = range.end();
  }
  return std::none_of(found.witnesses.begin(), found.witnesses.end(),
                      [&](const io::ByteRange& witness) { return overlaps(found.free, witness); });
}

FileSystem judge(Claims claims, DiskView& volume, const Surroundings& around) {
  if (claims.found.size() > 1) {
    FileSystem both;
    both.type = joined_types(claims.found);
    both.size = volume.size();
    both.holds_hashes = std::any_of(claims.found.begin(), claims.found.end(),
                                    [](const FileSystem& claim) { return claim.holds_hashes; });
    const std::string both_types = both.type;
    return kept(std::move(both), Reason::ambiguous,
                fmt::format("looks like more than one thing at once: {}", both_types),
                which_is_in_use);
  }
  FileSystem only;
  only.size = volume.size();
  if (!claims.found.empty()) only = std::move(claims.found.front());
  if (!claims.failed.empty()) {
    return kept(std::move(only), Reason::unreadable, "could not be read: " + claims.failed);
  }
  if (claims.found.empty()) {
    return kept(std::move(only), Reason::unknown, "the content is of no known kind");
  }
  if (only.kept_whole()) only.free.clear();
  if (!sound(only)) {
    return kept(std::move(only), Reason::unsupported, "its map contradicts itself");
  }
  try {
    fit(only, volume, around);
    return only;
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    return kept(std::move(only), Reason::unreadable,
                std::string("could not be read: ") + error.what());
  }
}

}  // namespace

FileSystem probe(DiskView& volume, const Surroundings& around, std::span<const Prober> probers) {
  return judge(ask(volume, around.map_check, probers), volume, around);
}

FileSystem probe(DiskView& volume, const Surroundings& around) {
  return probe(volume, around, all_probers);
}

}  // namespace formats::filesystems
