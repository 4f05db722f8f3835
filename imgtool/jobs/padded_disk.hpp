// A disk that is made longer before it becomes an image, since whoever takes the image counts in
// larger units than sectors.
#pragma once

#include <cstdint>
#include <string>

#include "io/observer.hpp"
#include "io/overlay_source.hpp"
#include "io/ring.hpp"
#include "io/source.hpp"

namespace imgtool {

class PaddedDisk {
 public:
  // Shows `disk`, zeros behind it up to `size` bytes, and the backup of its GPT at the new end.
  // `disk` is seekable and shorter than `size`; it outlives this. Throws io::Error.
  PaddedDisk(io::Ring& ring, io::Source& disk, std::uint64_t size, const io::StopFlag& stop);

  [[nodiscard]] io::Source& disk() { return padded_; }
  // What was done, as a note.
  [[nodiscard]] const std::string& note() const { return note_; }

 private:
  std::string note_;
  io::OverlaySource padded_;
};

}  // namespace imgtool
