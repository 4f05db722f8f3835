#include "imgtool/guest/host_findings.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "imgtool/guest/content.hpp"

namespace imgtool::guest {
namespace {

using formats::filesystems::Reason;

// A doubt about one of these means that it has to be put in order first.
bool is_file_system(std::string_view type) {
  constexpr auto types = std::to_array<std::string_view>(
      {"ext2", "ext3", "ext4", "ntfs", "xfs", "btrfs", "BitLocker"});
  return std::find(types.begin(), types.end(), type) != types.end();
}

// Reasons that end in the appliance: its kernel replays journals and mounts what was not
// unmounted, a key opens LUKS, and a hibernated system is dropped when the user says so.
bool appliance_can_settle(Reason reason) {
  return reason == Reason::needs_replay || reason == Reason::in_use ||
         reason == Reason::hibernated || reason == Reason::encrypted;
}

// Whether the appliance must leave it as it is.
bool must_be_kept(const formats::Volume& found) {
  if (found.hashed) return true;
  const auto& content = found.file_system;
  if (!content.kept_whole()) return false;
  // What the maps cannot tell of a btrfs its kernel may: several devices, other checksums.
  if (content.type == "btrfs") return false;
  return content_of(content.type) == nullptr || !appliance_can_settle(content.reason);
}

std::string explanation_of(const formats::Volume& found) {
  const auto& content = found.file_system;
  if (!found.hashed || content.reason == Reason::hashed) return content.kept_because;
  return content.kept_because + "; hashes on the disk cover its blocks, the free ones too";
}

std::string remedy_for(const formats::filesystems::FileSystem& found) {
  if (found.type == "BitLocker") return "decrypt it in Windows (manage-bde -off)";
  if (found.type == "ntfs") {
    return "check it in Windows (chkdsk /f), shut Windows down for good (shutdown /s, with fast "
           "startup and hibernation off: powercfg /h off)";
  }
  return found.remedy.empty() ? "repair it" : found.remedy;
}

}  // namespace

VolumePlan plan_for(const formats::Volume& found) {
  VolumePlan volume;
  volume.name = found.name();
  volume.id = found.id;
  volume.partition = found.id.partition;
  volume.size = volume.new_size = found.range.length;
  volume.type = found.file_system.type;
  volume.label = found.file_system.label;
  volume.uuid = found.file_system.uuid;
  volume.mapped = !found.file_system.kept_whole() && !found.file_system.knows_only_part;
  volume.map_believed = found.file_system.map_is_believed;
  volume.hashed = found.hashed;
  if (must_be_kept(found)) volume.keep(explanation_of(found), found.file_system.remedy);
  return volume;
}

void mark_believed(VolumePlan& volume, const formats::FreeSpace& space) {
  for_each_volume(volume, [&](VolumePlan& one) {
    const formats::Volume* found = one.id ? space.find(*one.id) : nullptr;
    if (found != nullptr && found->file_system.map_is_believed) one.map_believed = true;
  });
}

void refuse_unsettled(const formats::FreeSpace& space, const ShrinkOptions& options,
                      const std::string& source) {
  for (const formats::Volume& volume : space.volumes) {
    if (volume.file_system.type != hibernated_type) continue;
    if (options.drop_swap_content && !options.keeps(volume.id.partition)) continue;
    throw io::Error::refusal(
        source,
        fmt::format("{} holds a hibernated system, which has these file systems mounted; start it "
                    "and shut it down, or throw away what it has in memory with "
                    "--drop-swap-content",
                    volume.name()));
  }
  for (const formats::Volume& volume : space.volumes) {
    const auto& found = volume.file_system;
    // What is hashed is kept whatever else is true of it. Journals are replayed in the appliance.
    if (volume.hashed || found.reason == Reason::needs_replay) continue;
    if (options.keeps(volume.id.partition) || !is_file_system(found.type)) continue;
    // Where its owner can settle nothing it is kept, and the plan says why.
    if (!formats::filesystems::owner_can_settle(found.reason)) continue;
    throw refusal_of(plan_for(volume), found.kept_because, remedy_for(found));
  }
}

bool may_be_trimmed(const VolumePlan& volume, const ShrinkOptions& options) {
  if (!volume.inside.empty() || options.keeps(volume.partition)) return false;
  if (volume.hashed || volume.left_alone) return false;
  return volume.trim || !volume.mapped || (volume.type == "ntfs" && volume.changes());
}

}  // namespace imgtool::guest
