// Where the bytes of a disk are: how much of what is stored is in use, free, or nothing but zeros.
//
//   StorageMap map = stored_map(image);              // from the image's own map
//   find_stored_zeros(ring, image, map, ...);        // --deep: reads all that is stored
//   DiskAnalysis analysis = analyze(disk, map);
//
// Bytes throughout, of the disk that the image shows.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/disks/free_space.hpp"
#include "formats/disks/partitions/layout.hpp"
#include "io/extent.hpp"
#include "io/observer.hpp"
#include "io/range_map.hpp"

namespace formats {

// Which bytes are stored as data, which as zeros that take space, and which not at all.
using StorageMap = io::RangeMap<io::ExtentKind>;

[[nodiscard]] StorageMap stored_map(io::Source& image);

// Reads all data, and turns runs of zeros of 4 KiB or more into zeros. Ends early when `stop` is
// set. `read` hears how many bytes more were read. Throws the source's errors.
void find_stored_zeros(io::Ring& ring, io::Source& image, StorageMap& map,
                       const std::function<void(std::uint64_t)>& read, const io::StopFlag& stop);

// How a part of the disk is stored.
struct Tally {
  std::uint64_t size = 0;
  std::uint64_t data = 0;   // stored as bytes
  std::uint64_t zeros = 0;  // stored, and known to be zeros

  [[nodiscard]] std::uint64_t stored() const noexcept { return data + zeros; }
};

struct VolumeAnalysis {
  Volume volume;
  std::uint64_t used = 0;  // its size without what is free
  Tally free;
  // Nothing for a logical volume, whose bytes are spread over its group's partitions, and for a
  // partition that reaches beyond the disk.
  std::optional<Tally> all;
};

struct DiskAnalysis {
  partitions::Layout layout;
  std::vector<VolumeAnalysis> volumes;
  Tally disk;
  Tally free;                              // of all volumes
  Tally unpartitioned;                     // no partition's: tables, gaps, old boot loaders
  std::vector<io::ByteRange> free_ranges;  // of `free`, ascending; so are those of the other
  std::vector<io::ByteRange> unpartitioned_ranges;
  std::vector<DiscardedFile> discarded;  // if FreeSpaceOptions::discarded asks for it
  Tally swap;                            // of those that may go
};

// `disk` shows all of the image. Throws errors of the source.
[[nodiscard]] DiskAnalysis analyze(DiskView& disk, const StorageMap& map,
                                   const FreeSpaceOptions& options = {});

}  // namespace formats
