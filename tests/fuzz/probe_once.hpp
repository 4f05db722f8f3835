// Asks one prober about a fuzz target's input, and checks what holds for every answer.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/filesystem.hpp"
#include "io/error.hpp"
#include "io/ring.hpp"
#include "tests/support/overlay_disk.hpp"

namespace tests {

inline void probe_once(std::span<const std::uint8_t> input, formats::filesystems::Prober prober) {
  OverlayDisk disk(std::as_bytes(input));
  static const io::MadeRing made = io::make_ring({.engine = io::Engine::threads});
  formats::DiskView view(*made.ring, disk);
  try {
    const auto found = prober(view, formats::filesystems::MapCheck::with_files);
    if (!found) return;
    if (found->kept_whole() && !found->free.empty()) std::abort();
    std::uint64_t end = 0;
    for (const io::ByteRange range : found->free) {
      if (range.empty() || range.offset < end || !view.holds(range.offset, range.length)) {
        std::abort();
      }
      for (const io::ByteRange witness : found->witnesses) {
        if (!io::intersection(range, witness).empty()) std::abort();
      }
      end = range.end();
    }
  } catch (const io::Error&) {
  }
}

}  // namespace tests
