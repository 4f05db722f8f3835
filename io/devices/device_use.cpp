#include "io/devices/device_use.hpp"

namespace io {

std::string_view to_string(DeviceUseKind kind) {
  switch (kind) {
    case DeviceUseKind::system_disk:
      return "system_disk";
    case DeviceUseKind::mounted:
      return "mounted";
    case DeviceUseKind::swap:
      return "swap";
    case DeviceUseKind::lvm:
      return "lvm";
    case DeviceUseKind::crypt:
      return "crypt";
    case DeviceUseKind::multipath:
      return "multipath";
    case DeviceUseKind::mapper:
      return "mapper";
    case DeviceUseKind::raid:
      return "raid";
    case DeviceUseKind::bcache:
      return "bcache";
    case DeviceUseKind::loop:
      return "loop";
    case DeviceUseKind::held:
      return "held";
    case DeviceUseKind::holds_image:
      return "holds_image";
    case DeviceUseKind::read_only:
      return "read_only";
    case DeviceUseKind::open_for_writing:
      return "open_for_writing";
    case DeviceUseKind::unknown:
      return "unknown";
  }
  return "held";
}

std::string device_label(const BlockDevice& device) {
  const MapperInfo& mapper = device.mapper;
  if (mapper.kind == MapperKind::lvm && !mapper.volume_group.empty()) {
    const std::string volume = mapper.volume_group + "/" + mapper.logical_volume;
    return mapper.layer.empty() ? volume : volume + "-" + mapper.layer;
  }
  return mapper.name.empty() ? device.path : "/dev/mapper/" + mapper.name;
}

DeviceUseKind use_by(const BlockDevice& holder) {
  switch (holder.kind) {
    case DeviceKind::loop:
      return DeviceUseKind::loop;
    case DeviceKind::raid:
      return DeviceUseKind::raid;
    case DeviceKind::bcache:
      return DeviceUseKind::bcache;
    case DeviceKind::device_mapper:
      break;
    default:
      return DeviceUseKind::held;
  }
  switch (holder.mapper.kind) {
    case MapperKind::lvm:
      return DeviceUseKind::lvm;
    case MapperKind::crypt:
      return DeviceUseKind::crypt;
    case MapperKind::multipath:
      return DeviceUseKind::multipath;
    default:
      return DeviceUseKind::mapper;
  }
}

std::optional<ReleaseStep> release_of(const BlockDevice& holder) {
  switch (use_by(holder)) {
    case DeviceUseKind::loop:
      return ReleaseStep{ReleaseKind::loop, holder.path};
    case DeviceUseKind::raid:
      return ReleaseStep{ReleaseKind::raid, holder.path};
    case DeviceUseKind::bcache:
      return ReleaseStep{ReleaseKind::bcache, holder.sysfs};
    case DeviceUseKind::lvm:
      return ReleaseStep{ReleaseKind::volume_group, holder.mapper.volume_group};
    case DeviceUseKind::crypt:
      return ReleaseStep{ReleaseKind::crypt, holder.mapper.name};
    case DeviceUseKind::multipath:
      return ReleaseStep{ReleaseKind::multipath, holder.mapper.name};
    case DeviceUseKind::mapper:
      return ReleaseStep{ReleaseKind::mapper, holder.mapper.name};
    default:
      return std::nullopt;
  }
}

}  // namespace io
