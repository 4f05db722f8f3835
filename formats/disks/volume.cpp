#include "formats/disks/volume.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace formats {

namespace {

std::string own_name(const VolumeId& id) {
  switch (id.kind) {
    case VolumeKind::partition:
      return fmt::format("partition {}", id.partition);
    case VolumeKind::logical_volume:
      return "logical volume " + id.logical_volume;
    case VolumeKind::whole_disk:
      break;
  }
  return "whole disk";
}

}  // namespace

std::string name_of(const VolumeId& id) {
  std::string name = own_name(id);
  for (auto outer = id.within.rbegin(); outer != id.within.rend(); ++outer) {
    name += " in " + own_name(*outer);
  }
  return name;
}

bool VolumeId::in_one_piece() const {
  return kind != VolumeKind::logical_volume &&
         std::all_of(within.begin(), within.end(),
                     [](const VolumeId& outer) { return outer.in_one_piece(); });
}

void Volume::keep(filesystems::Reason why, std::string because, std::string remedy) {
  file_system.keep(why, std::move(because), std::move(remedy));
  free.clear();
  witnesses.clear();
}

}  // namespace formats
