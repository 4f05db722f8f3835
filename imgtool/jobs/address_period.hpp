// How far apart a medium repeats itself: a counterfeit whose addresses wrap reads the same at any
// offset and one real size further on, whatever was written to it.
//
// Memory: a few MiB. Time: one pass over what was written, and some hundred short reads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "io/byte_range.hpp"

namespace imgtool {

// What to look at: places of the medium that hold other bytes than they should.
struct WrongPlaces {
  std::vector<io::ByteRange> ranges;  // ascending
  // What they should hold; null: zeros, or it is not known.
  formats::DiskView* expected = nullptr;
  std::uint64_t written = 0;  // bytes, from the medium's beginning on
};

// The real size in bytes, exact to 512, of the medium that `medium` shows, all that it claims.
// Nothing: it does not repeat itself, or there is nothing in `wrong` to tell by. `tick` is called
// now and then. Throws what reading does.
[[nodiscard]] std::optional<std::uint64_t> size_by_period(formats::DiskView& medium,
                                                          const WrongPlaces& wrong,
                                                          const std::function<void()>& tick);

}  // namespace imgtool
