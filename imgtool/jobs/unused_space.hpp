// What `capture --used` and `--drop-free` leave out: found before the copy, looked at again when it
// is done, and told about in the summary.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/disks/free_space.hpp"
#include "io/devices/device_inventory.hpp"
#include "io/ring.hpp"
#include "io/source.hpp"
#include "io/zero_ranges.hpp"

namespace imgtool {

class UnusedSpace {
 public:
  // Reads the metadata of `disk`, all of it, which outlives this. Throws io::Error, also when
  // the disk is written to meanwhile.
  UnusedSpace(io::Ring& ring, io::Source& disk, formats::FreeSpaceOptions options);

  [[nodiscard]] const formats::FreeSpace& found() const noexcept { return found_; }

  // `source`, which shows the disk or its beginning, without what is free. For `grain` see
  // io::ZeroRanges.
  [[nodiscard]] std::unique_ptr<io::ZeroRanges> filter(io::Source& source,
                                                       std::uint64_t grain) const;

  // Throws when a file system was written to since it was looked at: what was free may not be.
  void check_unchanged();

  // The same for the same map of the same content.
  [[nodiscard]] std::string identity() const;

 private:
  [[nodiscard]] std::vector<std::vector<std::byte>> read_all(
      const std::vector<io::ByteRange>& ranges);

  io::Ring& ring_;
  io::Source& disk_;
  formats::FreeSpaceOptions options_;
  formats::FreeSpace found_;
  std::vector<std::vector<std::byte>> witnesses_;
};

struct UnusedOptions {
  bool trust_maps = false;  // see FreeSpaceOptions
  bool drop_swap = false;   // what paging and swap files hold is not needed either
};

// For an image that `path` names, whatever its format: `source` shows it, and outlives the result.
// Throws io::Error, also for a stream.
[[nodiscard]] std::unique_ptr<UnusedSpace> find_unused_space(io::Ring& ring, io::Source& source,
                                                             const std::string& path,
                                                             UnusedOptions wanted);

// What of a device, or of a file that holds an image, is mounted or otherwise in use. Such parts
// are kept whole.
[[nodiscard]] std::vector<formats::InUse> parts_in_use(const io::DeviceInventory& inventory,
                                                       const std::string& path);

}  // namespace imgtool
