#include "formats/filesystems/probe.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/filesystems/btrfs.hpp"
#include "formats/filesystems/exfat.hpp"
#include "formats/filesystems/ext.hpp"
#include "formats/filesystems/fat.hpp"
#include "formats/filesystems/lvm.hpp"
#include "formats/filesystems/ntfs.hpp"
#include "formats/filesystems/opaque.hpp"
#include "formats/filesystems/swap.hpp"
#include "formats/filesystems/xfs.hpp"
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
    probe_ntfs,
    probe_xfs,
});

// What all parsers said.
struct Claims {
  std::vector<FileSystem> found;
  std::string failed;  // why one of them could not tell
};

Claims ask(DiskView& container, std::span<const Prober> probers) {
  Claims claims;
  for (const Prober prober : probers) {
    try {
      if (auto found = prober(container)) claims.found.push_back(std::move(*found));
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

// Keeps all of it; what it is called stays.
FileSystem kept(FileSystem found, std::string because, std::string remedy) {
  found.free.clear();
  found.warning.clear();
  found.kept_because = std::move(because);
  found.remedy = std::move(remedy);
  return found;
}

// Ranges that begin behind `end` go, one that crosses it is cut.
void clip(std::vector<io::ByteRange>& ranges, std::uint64_t end) {
  for (io::ByteRange& range : ranges) range = io::intersection(range, io::ByteRange{0, end});
  std::erase_if(ranges, [](const io::ByteRange& range) { return range.empty(); });
}

FileSystem fitted(FileSystem found, const DiskView& container, const Surroundings& around) {
  if (found.kept_whole() || found.size <= container.size()) return found;
  const std::uint64_t beyond = found.size - container.size();
  if (around.last_on_disk && beyond < io::MiB) {
    clip(found.free, container.size());
    found.warning = fmt::format("the file system is {} bytes longer than its container", beyond);
    return found;
  }
  return kept(std::move(found),
              fmt::format("the file system is {} bytes longer than its container: this is a part "
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
  return std::none_of(
      found.witnesses.begin(), found.witnesses.end(), [&](const io::ByteRange& witness) {
        const auto next =
            std::upper_bound(found.free.begin(), found.free.end(), witness.offset,
                             [](std::uint64_t at, const io::ByteRange& r) { return at < r.end(); });
        return next != found.free.end() && next->offset < witness.end();
      });
}

FileSystem judge(Claims claims, const DiskView& container, const Surroundings& around) {
  if (claims.found.size() > 1) {
    FileSystem both;
    both.type = joined_types(claims.found);
    both.size = container.size();
    return kept(std::move(both), "looks like more than one thing at once",
                "erase the signature that is left over from before (wipefs)");
  }
  FileSystem only;
  only.size = container.size();
  if (!claims.found.empty()) only = std::move(claims.found.front());
  if (!claims.failed.empty()) {
    return kept(std::move(only), "could not be read: " + claims.failed, "");
  }
  if (claims.found.empty()) return kept(std::move(only), "the content is of no known kind", "");
  if (only.kept_whole()) only.free.clear();
  if (!sound(only)) return kept(std::move(only), "its map contradicts itself", "");
  return fitted(std::move(only), container, around);
}

}  // namespace

FileSystem probe(DiskView& container, const Surroundings& around, std::span<const Prober> probers) {
  return judge(ask(container, probers), container, around);
}

FileSystem probe(DiskView& container, const Surroundings& around) {
  return probe(container, around, all_probers);
}

}  // namespace formats::filesystems
