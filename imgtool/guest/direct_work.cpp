#include "imgtool/guest/direct_work.hpp"

#include <fcntl.h>

namespace imgtool::guest {

io::ByteRange range_of(const formats::partitions::Layout& layout, unsigned partition,
                       std::uint64_t disk_size) {
  for (const auto& one : layout.partitions) {
    if (one.number == partition) return one.range;
  }
  return {0, disk_size};
}

DirectWork::DirectWork(io::Ring& ring, io::Source& disk, const std::string& scratch, Box& box)
    : file_(scratch, O_RDWR | O_CREAT | O_EXCL, 0600),
      overlay_(ring, disk, file_, disk.size().value()),
      shell_(box) {}

void DirectWork::show(const std::vector<VolumePlan>& volumes,
                      const formats::partitions::Layout& layout) {
  for (const VolumePlan& volume : volumes) {
    const io::ByteRange range = range_of(layout, volume.partition, overlay_.capacity());
    shell_.show(view_of(volume.partition), {&overlay_, &overlay_, range});
  }
}

}  // namespace imgtool::guest
