#include "imgtool/jobs/padded_disk.hpp"

#include <fmt/format.h>

#include "formats/disks/partitions/fit.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

std::vector<io::Patch> patches_for(io::Ring& ring, io::Source& disk, std::uint64_t size,
                                   const io::StopFlag& stop, std::string& note) {
  formats::DiskView view(ring, disk, &stop);
  const auto layout = formats::partitions::read_layout_of_disk(view, std::nullopt);
  note = fmt::format("note: {} bytes of zeros are put behind the disk, which has {} then",
                     size - disk.size().value(), size);
  if (!layout.gpt) return {};
  auto fit = formats::partitions::fit_to_disk(view, layout, {.disk_size = size});
  if (!fit.kept_because.empty()) {
    throw io::Error::refusal(
        disk.name(), fmt::format("the backup of its partition table cannot be moved to the end of "
                                 "a longer disk: {}",
                                 fit.kept_because));
  }
  if (!fit.patches.empty()) note += "; the backup of its GPT is moved there";
  return std::move(fit.patches);
}

}  // namespace

PaddedDisk::PaddedDisk(io::Ring& ring, io::Source& disk, std::uint64_t size,
                       const io::StopFlag& stop)
    : padded_(disk, patches_for(ring, disk, size, stop, note_), size) {}

}  // namespace imgtool
