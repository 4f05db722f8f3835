#include "imgtool/guest/source_disk.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "formats/images/qcow2/header.hpp"
#include "imgtool/guest/content.hpp"
#include "imgtool/guest/host_findings.hpp"
#include "imgtool/jobs/unused_space.hpp"
#include "imgtool/terminal/signals.hpp"
#include "io/devices/device_inventory.hpp"
#include "io/error.hpp"

namespace imgtool::guest {
namespace {

using formats::filesystems::Reason;
using formats::partitions::TableKind;

}  // namespace

SourceDisk::SourceDisk(io::Ring& ring, const ShrinkOptions& options)
    : ring_(ring),
      options_(options),
      source_(ring, options.source, options.open, stop_flag(), options.threads) {
  refuse_other_formats();
  refuse_if_used();
  refuse_snapshots();
  formats::DiskView view(ring_, source());
  formats::FreeSpaceOptions search;
  search.hibernated_never_resumes = options.drop_swap_content;
  search.look_inside = false;  // the appliance does not
  search.thin_pools = false;   // it trims what is free in them, and knows what of it is shared
  search.trust_maps = options.trust_maps;
  free_ = formats::find_free_space(view, search);
  boot_code_ = formats::partitions::find_boot_code(view, layout());
  refuse_unknown_partitions();
  refuse_unsettled(free_, options_, options_.source);
}

std::string SourceDisk::absolute_path() const {
  namespace fs = std::filesystem;
  const fs::path path = fs::absolute(options_.source);
  if (source_.paths().size() == 1) return fs::canonical(path).string();
  // What it names is looked for beside the name it was opened by, not beside what a link leads to.
  return (fs::canonical(path.parent_path()) / path.filename()).string();
}

void SourceDisk::refuse_other_formats() const {
  const formats::Image* image = source_.image();
  const bool known =
      image != nullptr && image->seekable() &&
      (image->format() == formats::Format::raw || image->format() == formats::Format::qcow2);
  if (known) return;
  throw io::Error::refusal(options_.source,
                           "QEMU, which the appliance runs in, reads raw and qcow2 images only; "
                           "make one with imgtool convert first");
}

void SourceDisk::refuse_if_used() const {
  const io::DeviceInventory inventory;
  for (const std::string& path : source_.paths()) {
    const auto uses = parts_in_use(inventory, path);
    if (!uses.empty()) {
      const std::string remedy = uses.front().remedy.empty() ? "" : "; " + uses.front().remedy;
      throw io::Error::refusal(path, uses.front().because + remedy);
    }
  }
}

void SourceDisk::refuse_snapshots() const {
  if (format() != formats::Format::qcow2) return;
  const auto header = formats::qcow2::read_header(*source_.image()->files().front());
  if (header.snapshot_count == 0) return;
  throw io::Error::refusal(
      options_.source,
      fmt::format("holds {} internal snapshot{}, which a smaller disk could not have; imgtool "
                  "convert makes an image without them, or of one of them with -l",
                  header.snapshot_count, header.snapshot_count == 1 ? "" : "s"));
}

void SourceDisk::refuse_unknown_partitions() const {
  const auto refuse_unknown = [&](unsigned number, const std::string& named_by) {
    const bool whole = number == 0 && layout().kind == TableKind::none;
    const bool known = whole || std::any_of(layout().partitions.begin(), layout().partitions.end(),
                                            [&](const auto& one) { return one.number == number; });
    if (known) return;
    throw io::Error::refusal(options_.source,
                             fmt::format("has no partition {}, as {} has it", number, named_by));
  };
  for (const unsigned number : options_.keep) refuse_unknown(number, "--keep");
  for (const KeyFile& key : options_.keys) {
    if (key.partition) refuse_unknown(*key.partition, "--key");
  }
  const bool only_backup = layout().gpt && !layout().primary_valid;  // kernels see no partitions
  if (!layout().trusted || only_backup) {
    throw io::Error::refusal(
        options_.source,
        fmt::format("its partition table cannot be relied on: {}; repair it "
                    "(gdisk, fdisk)",
                    layout().problems.empty() ? "it is damaged" : layout().problems.front()));
  }
}

bool SourceDisk::is_hibernated(const formats::VolumeId& id) const {
  const formats::Volume* found = free_.find(id);
  return found != nullptr && found->file_system.type == hibernated_type;
}

bool SourceDisk::needs_replay(const formats::VolumeId& id) const {
  const formats::Volume* found = free_.find(id);
  if (found == nullptr) return false;
  const auto& content = found->file_system;
  return content.reason == Reason::needs_replay || content.waits_for_replay;
}

std::optional<std::uint64_t> SourceDisk::used_in(const formats::VolumeId& id) const {
  const formats::Volume* found = free_.find(id);
  if (found == nullptr || found->file_system.kept_whole()) return std::nullopt;
  if (found->file_system.knows_only_part) return std::nullopt;
  std::uint64_t used = found->range.length;
  for (const io::ByteRange& range : found->free) used -= range.length;
  return used;
}

std::uint64_t SourceDisk::used_behind(const VolumePlan& volume, std::uint64_t offset) const {
  const std::uint64_t length = volume.size - std::min(offset, volume.size);
  const formats::Volume* found = volume.id ? free_.find(*volume.id) : nullptr;
  if (found == nullptr || found->file_system.kept_whole()) return length;
  const io::ByteRange end{found->range.offset + offset, length};
  std::uint64_t used = length;
  for (const io::ByteRange& range : found->free) used -= io::intersection(range, end).length;
  return used;
}

bool SourceDisk::windows_mbr() const {
  return layout().kind == TableKind::mbr &&
         std::any_of(free_.volumes.begin(), free_.volumes.end(), [](const formats::Volume& one) {
           return one.file_system.type == "ntfs" || one.file_system.type == "BitLocker";
         });
}

// So that a boot loader finds what it reads by its place.
void SourceDisk::keep_what_boots(VolumePlan& volume, io::ByteRange place) const {
  if (!options_.change_sizes || volume.kept) return;
  std::string why = formats::partitions::why_blocks_stay(boot_code_, place, volume.type);
  if (why.empty()) return;
  volume.keep(std::move(why),
              "with GRUB installed anew into the disk's gap (grub-install) it could be smaller");
}

std::vector<VolumePlan> SourceDisk::volumes() const {
  std::vector<VolumePlan> volumes;
  const auto add = [&](const formats::VolumeId& id, io::ByteRange place) {
    formats::Volume unseen{id, place, {}};  // a disk that is ambiguous as a whole hides its parts
    unseen.keep(Reason::unknown, "could not be looked into");
    const formats::Volume* found = free_.find(id);
    VolumePlan volume = plan_for(found != nullptr ? *found : unseen);
    volume.used = used_in(id);
    keep_what_boots(volume, place);
    volumes.push_back(std::move(volume));
  };
  if (layout().kind == TableKind::none) {
    add(formats::VolumeId::disk(), {0, size()});
  } else {
    for (const auto& partition : layout().partitions) {
      add(formats::VolumeId::of_partition(partition.number), partition.range);
    }
  }
  return volumes;
}

}  // namespace imgtool::guest
