// What was written is looked at before it gets its name: by the host, which reads the tables and
// the superblocks, and by the file systems' own checkers, in boxes or in a second appliance.
#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/filesystems/claimed_size.hpp"
#include "formats/disks/partitions/layout.hpp"
#include "imgtool/guest/shrink_job.hpp"
#include "imgtool/guest/trouble.hpp"
#include "imgtool/terminal/signals.hpp"

namespace imgtool::guest {
namespace {

using formats::partitions::Layout;
using formats::partitions::Partition;

[[noreturn]] void wrong(const std::string& path, std::string what) {
  throw io::Error(io::ErrorKind::mismatch, path,
                  "the new image is not as it must be, and is removed: " + std::move(what));
}

bool same_but_for_its_place(const Partition& a, const Partition& b) {
  return a.number == b.number && a.logical == b.logical && a.bootable == b.bootable &&
         a.mbr_type == b.mbr_type && a.type == b.type && a.id == b.id &&
         a.attributes == b.attributes && a.name == b.name;
}

}  // namespace

void ShrinkJob::verify() {
  steps_.begin("verifying what was written");
  verify_on_host();
  if (options_.verify == VerifyChoice::full) verify_by_programs();
  steps_.finish();
  output_->publish(result_->size().value());
}

void ShrinkJob::verify_on_host() {
  formats::OpenOptions open;
  open.format = written_.format;
  open.workers = &workers_;
  open.stop = &stop_flag();
  const auto image = formats::open_image(ring_, output_->file()->path(), open);
  if (image->size() != result_->size()) wrong(options_.output, "its size is another one");
  formats::DiskView view(ring_, *image);
  const Layout layout = formats::partitions::read_layout(view);
  verify_table(layout);
  verify_sizes(view, layout);
}

void ShrinkJob::verify_table(const Layout& layout) const {
  const Layout& before = source_.layout();
  if (layout.kind != before.kind || layout.id() != before.id() ||
      layout.partitions.size() != before.partitions.size()) {
    wrong(options_.output, "its partition table is another one");
  }
  if (options_.change_sizes && !layout.problems.empty()) {
    wrong(options_.output, layout.problems.front());
  }
  for (std::size_t i = 0; i < layout.partitions.size(); ++i) {
    const Partition& partition = layout.partitions[i];
    const auto* place = plan_.placement_of(partition.number);
    const io::ByteRange planned = place != nullptr
                                      ? io::ByteRange{place->new_start, place->new_length}
                                      : before.partitions[i].range;
    if (!same_but_for_its_place(partition, before.partitions[i]) || partition.range != planned) {
      wrong(options_.output, fmt::format("partition {} is not as planned", partition.number));
    }
  }
}

void ShrinkJob::verify_sizes(formats::DiskView& view, const Layout& layout) {
  for (const VolumePlan& volume : plan_.volumes) {
    const io::ByteRange range = range_of(layout, volume.partition, view.size());
    // What was kept whole may be broken in ways of its own, as before.
    if (!volume.changes() && !volume.mapped) continue;
    formats::DiskView part = view.part(range);
    const auto claimed = formats::filesystems::claimed_size(part, volume.type);
    if (claimed && *claimed > range.length && volume.changes()) {
      wrong(options_.output, fmt::format("{} has {} bytes, and the file system in it {}",
                                         volume.name, range.length, *claimed));
    }
  }
}

void ShrinkJob::verify_by_programs() {
  if (!is_direct_) return verify_in_appliance();
  try {
    verify_in_boxes();
  } catch (const ProgramDied& died) {
    if (options_.engine != EngineChoice::automatic) throw;
    steps_.say(fmt::format("note: {}; once more, in the appliance", died.what()));
    verify_in_appliance();
  }
}

void ShrinkJob::verify_in_boxes() {
  formats::OpenOptions open;
  open.format = written_.format;
  open.workers = &workers_;
  open.stop = &stop_flag();
  const auto image = formats::open_image(ring_, output_->file()->path(), open);
  formats::DiskView view(ring_, *image);
  const Layout layout = formats::partitions::read_layout(view);
  DirectShell shell(box_);
  for (const VolumePlan& volume : plan_.volumes) {
    const io::ByteRange range = range_of(layout, volume.partition, view.size());
    shell.show(view_of(volume.partition), {image.get(), nullptr, range});
  }
  ApplianceContext context = testbed(shell);
  for (const VolumePlan& volume : plan_.volumes) check(context, volume);
}

void ShrinkJob::verify_in_appliance() {
  if (written_.format == formats::Format::zst) {
    steps_.say("the file systems in a zst file cannot be checked: QEMU reads no such files");
    return;
  }
  steps_.begin("launching the appliance to verify");
  const Drive drive{output_->file()->path(), std::string(formats::name_of(written_.format)), true,
                    source_.layout().sector_size};
  Appliance appliance({drive}, appliance_options(), stop_flag());
  ApplianceContext context = testbed(appliance);
  for (const VolumePlan& volume : plan_.volumes) {
    reopen(context, volume);
    check(context, volume);
  }
  appliance.shutdown();
}

}  // namespace imgtool::guest
