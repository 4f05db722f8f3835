// What the tests of XFS and btrfs share: their fixtures are the corpora of the fuzz targets.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/filesystem.hpp"
#include "io/ring.hpp"
#include "tests/support/overlay_disk.hpp"

namespace tests {

inline OverlayDisk fixture(const std::string& name) {
  return OverlayDisk::from_file(std::string(IMGTOOL_TESTS) + "/fuzz/corpus/" + name);
}

inline formats::filesystems::FileSystem probe(formats::filesystems::Prober prober,
                                              OverlayDisk& disk) {
  static const io::MadeRing made = io::make_ring({.engine = io::Engine::threads});
  formats::DiskView view(*made.ring, disk);
  return prober(view, formats::filesystems::MapCheck::with_files).value();
}

inline std::uint64_t length_of(const std::vector<io::ByteRange>& ranges) {
  std::uint64_t length = 0;
  for (const io::ByteRange range : ranges) length += range.length;
  return length;
}

inline bool is_inside(const std::vector<io::ByteRange>& inner,
                      const std::vector<io::ByteRange>& outer) {
  return std::all_of(inner.begin(), inner.end(), [&](io::ByteRange range) {
    return std::any_of(outer.begin(), outer.end(), [&](io::ByteRange whole) {
      return io::intersection(range, whole) == range;
    });
  });
}

// Flips a bit of every `stride`th byte that the fixture has, in turn, and gives the places where
// the answer was neither "keep all" nor free space that is free without the flip.
inline std::vector<std::uint64_t> wrong_after_flips(formats::filesystems::Prober prober,
                                                    const OverlayDisk& good, std::uint64_t stride) {
  OverlayDisk original = good;
  const auto truth = probe(prober, original).free;
  std::vector<std::uint64_t> wrong;
  std::uint64_t turn = 0;
  for (const io::ByteRange range : good.content()) {
    for (std::uint64_t at = range.offset; at < range.end(); at += stride) {
      OverlayDisk disk = good;
      const auto mask = static_cast<std::byte>(1u << (turn++ % 8));
      disk.on_read = [&](io::ByteRange read, std::span<std::byte> bytes) {
        if (read.contains(at)) bytes[at - read.offset] ^= mask;
      };
      formats::filesystems::FileSystem found;
      static const io::MadeRing made = io::make_ring({.engine = io::Engine::threads});
      formats::DiskView view(*made.ring, disk);
      if (auto answer = prober(view, formats::filesystems::MapCheck::with_files))
        found = std::move(*answer);
      if (!is_inside(found.free, truth)) wrong.push_back(at);
    }
  }
  return wrong;
}

}  // namespace tests
