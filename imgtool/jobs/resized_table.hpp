// The GPT of a raw image that changes its size: the backup moves to the new end, as burn moves it
// on a disk of another size.
//
// The order is such that at any moment one valid copy is where a system looks for it: the new
// backup, then the primary that names it, then the old backup goes; each is flushed before the next
// one is begun.
#pragma once

#include <string>

#include "formats/disks/partitions/fit.hpp"
#include "io/file.hpp"
#include "io/ring.hpp"
#include "io/source.hpp"

namespace imgtool {

class ResizedTable {
 public:
  // Decides by the image as it is now what changes with `size_after`, in bytes. Throws io::Error
  // when the image cannot be read.
  ResizedTable(io::Ring& ring, io::Source& image, std::uint64_t size_after);

  // There is a GPT, and it will fit the new size.
  [[nodiscard]] bool moves() const noexcept { return !fit_.patches.empty(); }
  // Why there is one and it will not; else "".
  [[nodiscard]] const std::string& kept_because() const noexcept { return fit_.kept_because; }

  // The file has at least the larger one of both sizes. Throws io::Error.
  void write(const io::File& file) const;

 private:
  [[nodiscard]] bool wipes(const io::Patch& patch) const;

  std::uint64_t size_after_;
  std::uint64_t end_of_primary_ = 0;
  formats::partitions::Fit fit_;
};

}  // namespace imgtool
