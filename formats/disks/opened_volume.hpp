// The bytes of a volume that find_free_space() named: a partition, a logical volume, also one in a
// disk that lies in another volume.
#pragma once

#include <memory>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/volume.hpp"

namespace formats {

class OpenedVolume {
 public:
  // `disk` shows a whole disk, and outlives this. Throws io::Error where the volume is not there,
  // or is of a kind whose bytes cannot be shown (a thin volume).
  OpenedVolume(DiskView& disk, const VolumeId& id);
  OpenedVolume(const OpenedVolume&) = delete;
  OpenedVolume& operator=(const OpenedVolume&) = delete;
  ~OpenedVolume();

  [[nodiscard]] DiskView& view() { return *view_; }
  // Where these bytes of the volume lie on the disk, in their order.
  [[nodiscard]] std::vector<io::ByteRange> places_of(io::ByteRange range) const;

 private:
  struct Step;  // one volume in another

  void enter(const VolumeId& id);

  std::vector<std::unique_ptr<Step>> steps_;
  std::unique_ptr<DiskView> view_;
};

}  // namespace formats
