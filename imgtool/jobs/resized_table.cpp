#include "imgtool/jobs/resized_table.hpp"

#include <algorithm>

#include "formats/disks/partitions/layout.hpp"

namespace imgtool {

ResizedTable::ResizedTable(io::Ring& ring, io::Source& image, std::uint64_t size_after)
    : size_after_(size_after) {
  formats::DiskView view(ring, image);
  const auto layout = formats::partitions::read_layout(view);
  if (!layout.gpt) return;
  end_of_primary_ = layout.usable.offset;
  if (layout.least_size() > size_after) {
    fit_.kept_because = "its partitions end behind the new end";
    return;
  }
  fit_ = formats::partitions::fit_to_disk(view, layout, {.disk_size = size_after});
}

bool ResizedTable::wipes(const io::Patch& patch) const {
  return std::ranges::any_of(fit_.wiped, [&patch](const io::ByteRange& range) {
    return !io::intersection(range, patch.range()).empty();
  });
}

void ResizedTable::write(const io::File& file) const {
  enum class Step : std::uint8_t { backup, primary, old_backup };
  const auto step_of = [this](const io::Patch& patch) {
    if (patch.offset < end_of_primary_) return Step::primary;
    return wipes(patch) ? Step::old_backup : Step::backup;
  };
  for (const Step step : {Step::backup, Step::primary, Step::old_backup}) {
    for (const io::Patch& patch : fit_.patches) {
      if (step_of(patch) == step) file.write_at(patch.offset, patch.bytes);
    }
    file.sync();
  }
}

}  // namespace imgtool
