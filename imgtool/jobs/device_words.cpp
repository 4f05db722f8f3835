#include "imgtool/jobs/device_words.hpp"

#include <fmt/format.h>

#include "imgtool/terminal/shell_word.hpp"

namespace imgtool {
namespace {

using io::DeviceUseKind;
using io::ReleaseKind;

std::string joined(const std::vector<std::string>& texts, std::string_view separator) {
  std::string result;
  for (const std::string& text : texts) {
    result += result.empty() ? text : std::string(separator) + text;
  }
  return result;
}

std::string command_of(const io::ReleaseStep& step) {
  switch (step.kind) {
    case ReleaseKind::unmount:
      return "umount " + shell_word(step.object);
    case ReleaseKind::swap_off:
      return "swapoff " + shell_word(step.object);
    case ReleaseKind::loop:
      return "losetup -d " + shell_word(step.object);
    case ReleaseKind::raid:
      return "mdadm --stop " + shell_word(step.object);
    case ReleaseKind::bcache:
      return "echo 1 > " + shell_word(step.object + "/bcache/stop");
    case ReleaseKind::bcache_set:
      return "echo 1 > " + shell_word(step.object + "/bcache/set/stop");
    case ReleaseKind::volume_group:
      return "vgchange -an " + shell_word(step.object);
    case ReleaseKind::crypt:
      return "cryptsetup close " + shell_word(step.object);
    case ReleaseKind::multipath:
      return "multipath -f " + shell_word(step.object);
    case ReleaseKind::mapper:
      return "dmsetup remove " + shell_word(step.object);
  }
  return "";
}

// "mounted on /srv": what uses it, without the way that leads there.
std::string end_of_stack(const io::DeviceUse& use) {
  switch (use.kind) {
    case DeviceUseKind::system_disk:
      return "part of the running system (" + use.detail + ")";
    case DeviceUseKind::mounted:
      return "mounted on " + use.detail;
    case DeviceUseKind::swap:
      return "in use as swap";
    case DeviceUseKind::lvm:
      return "in use by the active logical volume " + use.detail;
    case DeviceUseKind::crypt:
      return "unlocked as " + use.detail;
    case DeviceUseKind::multipath:
      return "a path of the multipath disk " + use.detail;
    case DeviceUseKind::mapper:
      return "in use by the device-mapper device " + use.detail;
    case DeviceUseKind::raid:
      return "in use by the RAID array " + use.detail;
    case DeviceUseKind::bcache:
      return "in use by bcache as " + (use.detail.empty() ? "a cache device" : use.detail);
    case DeviceUseKind::loop:
      return "shown by the loop device " + use.detail;
    case DeviceUseKind::held:
      return "held by " + use.detail;
    case DeviceUseKind::holds_image:
      return "where the image " + use.detail + " is stored";
    case DeviceUseKind::read_only:
      return "read-only";
    case DeviceUseKind::open_for_writing:
      return "open for writing by " + use.detail;
    case DeviceUseKind::unknown:
      return "perhaps in use: it cannot be told by what (" + use.detail + ")";
  }
  return "in use";
}

bool has_way_there(DeviceUseKind kind) {
  return kind != DeviceUseKind::system_disk && kind != DeviceUseKind::holds_image &&
         kind != DeviceUseKind::read_only && kind != DeviceUseKind::open_for_writing;
}

}  // namespace

std::string phrase_of(const io::DeviceUse& use) {
  std::string text = end_of_stack(use);
  if (!has_way_there(use.kind)) return text;
  // The end of the stack is in the text unless it is a mount or swap.
  const bool end_named = use.kind != DeviceUseKind::mounted && use.kind != DeviceUseKind::swap &&
                         use.kind != DeviceUseKind::unknown;
  if (use.stack.size() > (end_named ? 2 : 1)) {
    const auto end = end_named ? use.stack.end() - 1 : use.stack.end();
    text += " (through " + joined({use.stack.begin() + 1, end}, ", ") + ")";
  }
  return text;
}

std::string remedy_of(const io::DeviceUse& use) {
  switch (use.kind) {
    case DeviceUseKind::system_disk:
      return "choose another device: this one runs the system";
    case DeviceUseKind::holds_image:
      return "choose another target, or copy the image elsewhere first";
    case DeviceUseKind::read_only:
      return "blockdev --setrw " + shell_word(use.detail) + ", or look for a write-protect switch";
    case DeviceUseKind::open_for_writing:
      return "stop that process";
    case DeviceUseKind::unknown:
      return "try again, or unplug what does not answer";
    default:
      break;
  }
  std::vector<std::string> commands;
  commands.reserve(use.release.size());
  for (const io::ReleaseStep& step : use.release) commands.push_back(command_of(step));
  return joined(commands, " && ");
}

std::vector<std::string> notes_of_doubts(const io::DeviceInventory& inventory) {
  std::vector<std::string> notes;
  for (const io::BlockDevice& device : inventory.devices()) {
    if (device.doubt.empty()) continue;
    notes.push_back(
        fmt::format("note: not everything can be told of {}, which is no part of this: {}",
                    device.path, device.doubt));
  }
  return notes;
}

}  // namespace imgtool
