// A logical volume as its group's metadata describe it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/disks/filesystems/reason.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems {

struct ThinPoolParts;

// A part of a logical volume, spread over one or more stripes. In bytes.
struct VolumeSegment {
  io::ByteRange range;                 // of the volume
  std::vector<std::uint64_t> stripes;  // where each begins in the physical volume
  std::uint64_t stripe_size = 0;       // of one stripe, before the next one's turn
};

struct LogicalVolume {
  std::string name;  // "vg/root"; raw bytes: escape before printing
  std::uint64_t size = 0;
  std::vector<VolumeSegment> segments;  // ascending, without gaps
  // Why it cannot be looked into; then there are no segments.
  Reason reason = Reason::none;
  std::string kept_because;
  // Of a thin pool all of whose parts lie here, and of a thin volume in it: what else has to be
  // read to look into it all the same. `reason` stands for those that do not read it.
  std::shared_ptr<const ThinPoolParts> pool{};
  std::uint64_t device = 0;  // the thin volume's number in its pool
  bool is_thin = false;      // a thin volume, not the pool
};

// A thin pool: the volumes that it is made of, and what its group says of it.
struct ThinPoolParts {
  LogicalVolume data;
  LogicalVolume metadata;
  std::uint64_t chunk_size = 0;  // in bytes
  std::uint64_t transaction = 0;
};

}  // namespace formats::filesystems
