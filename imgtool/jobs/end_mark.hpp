// A mark at the end of a disk, written before the image is and looked at afterwards.
//
// The backup of a partition table goes to the disk's end, after all of the image was verified. On a
// counterfeit, whose addresses wrap, it would land among what was verified. Then the mark did land
// there, too, and the image was written over it.
//
// Where a burn ends early the mark stays, as the zeros do that the head was wiped with: a backup of
// the old table would make the disk look like one that is whole. The next burn knows the mark's
// sectors by what they are, and takes zeros for what was there before.
#pragma once

#include <vector>

#include "imgtool/jobs/burn_place.hpp"
#include "io/buffer_pool.hpp"

namespace imgtool {

class EndMark {
 public:
  // Keeps what the disk's last bytes are, from `content_end` on, and writes the mark over them.
  // `medium` outlives it. Throws io::Error.
  EndMark(io::Ring& ring, BurnMedium& medium, std::uint64_t capacity, std::uint64_t content_end);

  // Whether there was room for a mark, and it is no longer as it was written. What lies before
  // `content_end`, as a stream's end may, is not looked at.
  [[nodiscard]] bool changed(std::uint64_t content_end) const;

  // Puts back what was there before, from `content_end` on, and reads it back. False: it does not
  // read so, though it was written twice.
  [[nodiscard]] bool remove(std::uint64_t content_end);

 private:
  [[nodiscard]] io::ByteRange rest_behind(std::uint64_t content_end) const;
  // Whether the disk holds these bytes in `part`.
  [[nodiscard]] bool reads_as(const io::AlignedMemory& memory, io::ByteRange part) const;
  void read(const io::AlignedMemory& memory) const;
  void write(const io::AlignedMemory& memory, io::ByteRange part);

  io::Ring& ring_;
  BurnMedium& medium_;
  io::ByteRange range_;  // on the disk
  io::AlignedMemory before_;
  io::AlignedMemory mark_;
};

}  // namespace imgtool
