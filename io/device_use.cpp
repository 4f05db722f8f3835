#include "io/device_use.hpp"

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

std::string DeviceUse::phrase() const {
  std::string text;
  switch (kind) {
    case DeviceUseKind::system_disk:
      return "part of the running system (" + detail + ")";
    case DeviceUseKind::mounted:
      text = "mounted on " + detail;
      break;
    case DeviceUseKind::swap:
      text = "in use as swap";
      break;
    case DeviceUseKind::lvm:
      text = "in use by the active logical volume " + detail;
      break;
    case DeviceUseKind::crypt:
      text = "unlocked as " + detail;
      break;
    case DeviceUseKind::multipath:
      text = "a path of the multipath disk " + detail;
      break;
    case DeviceUseKind::mapper:
      text = "in use by the device-mapper device " + detail;
      break;
    case DeviceUseKind::raid:
      text = "in use by the RAID array " + detail;
      break;
    case DeviceUseKind::bcache:
      text = "in use by bcache as " + detail;
      break;
    case DeviceUseKind::loop:
      text = "shown by the loop device " + detail;
      break;
    case DeviceUseKind::held:
      text = "held by " + detail;
      break;
    case DeviceUseKind::holds_image:
      return "where the image " + detail + " is stored";
    case DeviceUseKind::read_only:
      return "read-only";
    case DeviceUseKind::open_for_writing:
      return "open for writing by " + detail;
  }
  // The end of the stack is in the text unless it is a mount or swap.
  const bool end_named = kind != DeviceUseKind::mounted && kind != DeviceUseKind::swap;
  if (stack.size() > (end_named ? 2 : 1)) {
    const auto end = end_named ? stack.end() - 1 : stack.end();
    text += " (through " + joined({stack.begin() + 1, end}, ", ") + ")";
  }
  return text;
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

std::string release_command(const BlockDevice& holder) {
  switch (use_by(holder)) {
    case DeviceUseKind::loop:
      return "losetup -d " + shell_word(holder.path);
    case DeviceUseKind::raid:
      return "mdadm --stop " + shell_word(holder.path);
    case DeviceUseKind::bcache:
      return "echo 1 > " + shell_word(holder.sysfs + "/bcache/stop");
    case DeviceUseKind::lvm:
      return "vgchange -an " + shell_word(holder.mapper.volume_group);
    case DeviceUseKind::crypt:
      return "cryptsetup close " + shell_word(holder.mapper.name);
    case DeviceUseKind::multipath:
      return "multipath -f " + shell_word(holder.mapper.name);
    case DeviceUseKind::mapper:
      return "dmsetup remove " + shell_word(holder.mapper.name);
    default:
      return "";
  }
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,=";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) {
    return text;
  }
  std::string result = "'";
  for (const char c : text) {
    result += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return result + "'";
}

std::string joined(const std::vector<std::string>& texts, std::string_view separator) {
  std::string result;
  for (const std::string& text : texts) {
    result += result.empty() ? text : std::string(separator) + text;
  }
  return result;
}

}  // namespace io
