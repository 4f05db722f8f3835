#include "formats/disks/opened_volume.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/lvm/lvm.hpp"
#include "formats/disks/partitions/layout.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

[[noreturn]] void cannot_show(const DiskView& disk, const VolumeId& id) {
  throw io::Error(io::ErrorKind::unsupported, disk.name(),
                  fmt::format("the content of {} cannot be read without its kernel", name_of(id)));
}

DiskView partition_of(DiskView& disk, const VolumeId& id) {
  if (id.partition == 0) return disk.part({0, disk.size()});
  const partitions::Layout layout = partitions::read_layout(disk);
  for (const partitions::Partition& one : layout.partitions) {
    if (one.number == id.partition && disk.holds(one.range.offset, one.range.length)) {
      return disk.part(one.range);
    }
  }
  throw io::Error::format(disk.name(), disk.begin(), "a partition that was here is gone");
}

filesystems::LogicalVolume logical_volume_of(DiskView& physical, const VolumeId& id) {
  const auto group = filesystems::probe_lvm(physical);
  if (!group) cannot_show(physical, id);
  const auto found =
      std::find_if(group->volumes.begin(), group->volumes.end(),
                   [&](const auto& volume) { return volume.name == id.logical_volume; });
  if (found == group->volumes.end() || found->reason != filesystems::Reason::none) {
    cannot_show(physical, id);
  }
  return *found;
}

}  // namespace

struct OpenedVolume::Step {
  DiskView partition;
  std::uint64_t begin = 0;  // of the partition in the volume before this one
  std::optional<filesystems::LogicalVolume> logical;
  std::unique_ptr<filesystems::VolumeSource> source;
};

OpenedVolume::OpenedVolume(DiskView& disk, const VolumeId& id)
    : view_(std::make_unique<DiskView>(disk.part({0, disk.size()}))) {
  for (const VolumeId& outer : id.within) enter(outer);
  enter(id);
}

OpenedVolume::~OpenedVolume() = default;

void OpenedVolume::enter(const VolumeId& id) {
  const std::uint64_t before = view_->begin();
  auto step = std::make_unique<Step>(Step{partition_of(*view_, id), 0, std::nullopt, nullptr});
  step->begin = step->partition.begin() - before;
  if (id.kind == VolumeKind::logical_volume) {
    DiskView& physical = step->partition;
    step->logical = logical_volume_of(physical, id);
    step->source = std::make_unique<filesystems::VolumeSource>(physical.source(), physical.begin(),
                                                               *step->logical);
    view_ = std::make_unique<DiskView>(physical.ring(), *step->source, physical.stop());
  } else {
    view_ = std::make_unique<DiskView>(step->partition.part({0, step->partition.size()}));
  }
  steps_.push_back(std::move(step));
}

std::vector<io::ByteRange> OpenedVolume::places_of(io::ByteRange range) const {
  std::vector<io::ByteRange> places{range};
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    std::vector<io::ByteRange> outer;
    for (const io::ByteRange& place : places) {
      if (!(*step)->logical) {
        outer.push_back({(*step)->begin + place.offset, place.length});
        continue;
      }
      for (const auto& piece : filesystems::pieces_of(*(*step)->logical, place)) {
        outer.push_back({(*step)->begin + piece.range.offset, piece.range.length});
      }
    }
    places = std::move(outer);
  }
  return places;
}

}  // namespace formats
