#include "imgtool/guest/source_disk.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/filesystems/swap.hpp"
#include "formats/qcow2/header.hpp"
#include "imgtool/guest/content.hpp"
#include "imgtool/signals.hpp"
#include "imgtool/unused_space.hpp"
#include "io/device_inventory.hpp"
#include "io/error.hpp"

namespace imgtool::guest {
namespace {

using formats::Container;
using formats::partitions::TableKind;

// QEMU locks byte 100 + n of an image for each permission n that it uses: 1 is to write, 3 to
// resize. Who only reads, as other machines do with a common base, is welcome.
constexpr std::array<off_t, 2> qemu_write_locks = {101, 103};

void refuse_if_locked(const io::File& file) {
  for (const off_t place : qemu_write_locks) {
    struct flock lock {};
    lock.l_whence = SEEK_SET;
    lock.l_start = place;
    lock.l_len = 1;
    lock.l_type = F_WRLCK;
    if (fcntl(file.fd(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) continue;
    throw io::Error::refusal(file.path(),
                             "a virtual machine has it open for writing; shut that down first");
  }
}

// What a doubt of these means is that somebody has to put them in order first.
bool is_file_system(std::string_view type) {
  constexpr auto types = std::to_array<std::string_view>(
      {"ext2", "ext3", "ext4", "ntfs", "xfs", "btrfs", "BitLocker"});
  return std::find(types.begin(), types.end(), type) != types.end();
}

std::string remedy_for(const formats::filesystems::FileSystem& found) {
  if (found.type == "BitLocker") return "decrypt it in Windows (manage-bde -off)";
  if (found.type == "ntfs") {
    return "check it in Windows (chkdsk /f), shut Windows down for good (shutdown /s, with fast "
           "startup and hibernation off: powercfg /h off)";
  }
  return found.remedy.empty() ? "repair it" : found.remedy;
}

// Free blocks count, too, where somebody has hashed them.
bool is_hashed(const formats::filesystems::FileSystem& found) {
  return found.kept_because.find(" hashes over ") != std::string::npos;
}

void keep_where_it_must_be(const formats::filesystems::FileSystem& found, Volume& volume) {
  if (!found.kept_whole() || volume.type == "crypto_LUKS") return;
  const Content* content = content_of(volume.type);
  if (content != nullptr && !found.remedy.empty()) return;
  // What the maps cannot tell of a btrfs its kernel may: several devices, other checksums.
  if (volume.type == "btrfs" && !is_hashed(found)) return;
  volume.why_kept = found.kept_because;
  volume.remedy = found.remedy;
  volume.hashed = is_hashed(found);
}

unsigned partition_of(const Container& container) {
  unsigned number = 0;
  constexpr std::string_view before = "partition ";
  if (container.name.starts_with(before)) {
    std::from_chars(container.name.data() + before.size(),
                    container.name.data() + container.name.size(), number);
  }
  return number;
}

}  // namespace

SourceDisk::SourceDisk(io::Ring& ring, const ShrinkOptions& options)
    : ring_(ring),
      options_(options),
      source_(ring, options.source, options.open, stop_flag(), options.threads) {
  refuse_other_formats();
  refuse_if_used();
  refuse_snapshots();
  formats::DiskView view(ring_, source());
  layout_ = formats::partitions::read_layout(view);
  boot_code_ = formats::partitions::find_boot_code(view, layout_);
  formats::FreeSpaceOptions search;
  search.hibernated_never_resumes = options.drop_swap_content;
  free_ = formats::find_free_space(view, search);
  refuse_unknown_partitions();
  refuse_unsafe_content();
}

std::uint64_t SourceDisk::size() const {
  return const_cast<SourceDisk*>(this)->source().size().value();
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
    refuse_if_locked(io::File(path, O_RDONLY));
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
    const bool whole = number == 0 && layout_.kind == TableKind::none;
    const bool known = whole || std::any_of(layout_.partitions.begin(), layout_.partitions.end(),
                                            [&](const auto& one) { return one.number == number; });
    if (known) return;
    throw io::Error::refusal(options_.source,
                             fmt::format("has no partition {}, as {} has it", number, named_by));
  };
  for (const unsigned number : options_.keep) refuse_unknown(number, "--keep");
  for (const KeyFile& key : options_.keys) {
    if (key.partition) refuse_unknown(*key.partition, "--key");
  }
  const bool only_backup = layout_.gpt && !layout_.primary_valid;  // kernels see no partitions
  if (!layout_.trusted || only_backup) {
    throw io::Error::refusal(
        options_.source,
        fmt::format("its partition table cannot be relied on: {}; repair it "
                    "(gdisk, fdisk)",
                    layout_.problems.empty() ? "it is damaged" : layout_.problems.front()));
  }
}

void SourceDisk::refuse_unsafe_content() {
  for (const Container& container : free_.containers) {
    if (container.file_system.type != hibernated_type) continue;
    if (options_.drop_swap_content && !options_.keeps(partition_of(container))) continue;
    throw io::Error::refusal(
        options_.source,
        fmt::format("{} holds a hibernated system, which has these file systems mounted; start it "
                    "and shut it down, or throw away what it has in memory with "
                    "--drop-swap-content",
                    container.name));
  }
  for (const Container& container : free_.containers) {
    const auto& found = container.file_system;
    const unsigned partition = partition_of(container);
    if (options_.keeps(partition) || !is_file_system(found.type)) continue;
    Volume volume;
    volume.name = container.name;
    volume.type = found.type;
    volume.partition = partition;
    // Without a remedy there is nothing to be put in order: it is kept, and the plan says why.
    // Journals are replayed in the appliance.
    if (!found.kept_whole() || found.remedy.empty() || found.needs_replay) continue;
    throw refusal_of(volume, found.kept_because, remedy_for(found));
  }
}

const Container* SourceDisk::container(const std::string& name) const {
  const auto found = std::find_if(free_.containers.begin(), free_.containers.end(),
                                  [&](const Container& one) { return one.name == name; });
  return found == free_.containers.end() ? nullptr : &*found;
}

bool SourceDisk::is_hibernated(const std::string& name) const {
  const Container* found = container(name);
  return found != nullptr && found->file_system.type == hibernated_type;
}

bool SourceDisk::needs_replay(const std::string& name) const {
  const Container* found = container(name);
  return found != nullptr && found->file_system.needs_replay;
}

std::optional<std::uint64_t> SourceDisk::used_in(const std::string& name) const {
  const Container* found = container(name);
  if (found == nullptr || found->file_system.kept_whole()) return std::nullopt;
  std::uint64_t used = found->range.length;
  for (const io::ByteRange& range : found->free) used -= range.length;
  return used;
}

std::uint64_t SourceDisk::used_behind(const Volume& volume, std::uint64_t offset) const {
  const std::uint64_t length = volume.size - std::min(offset, volume.size);
  const Container* found = container(volume.name);
  if (found == nullptr || found->file_system.kept_whole()) return length;
  const io::ByteRange end{found->range.offset + offset, length};
  std::uint64_t used = length;
  for (const io::ByteRange& range : found->free) used -= io::intersection(range, end).length;
  return used;
}

bool SourceDisk::windows_mbr() const {
  return layout_.kind == TableKind::mbr &&
         std::any_of(free_.containers.begin(), free_.containers.end(), [](const Container& one) {
           return one.file_system.type == "ntfs" || one.file_system.type == "BitLocker";
         });
}

// So that a boot loader finds what it reads by its place.
void SourceDisk::keep_what_boots(Volume& volume, io::ByteRange place) const {
  if (!options_.change_sizes || !volume.why_kept.empty()) return;
  std::string why = formats::partitions::why_blocks_stay(boot_code_, place, volume.type);
  if (why.empty()) return;
  volume.why_kept = std::move(why);
  volume.remedy = "with GRUB installed anew into the disk's gap (grub-install) it could be smaller";
}

std::vector<Volume> SourceDisk::volumes() const {
  std::vector<Volume> volumes;
  const auto add = [&](std::string name, unsigned partition, io::ByteRange place) {
    Volume volume;
    volume.name = std::move(name);
    volume.partition = partition;
    volume.size = volume.new_size = place.length;
    if (const Container* found = container(volume.name)) {
      volume.type = found->file_system.type;
      volume.label = found->file_system.label;
      volume.uuid = found->file_system.uuid;
      volume.mapped = !found->file_system.kept_whole();
      keep_where_it_must_be(found->file_system, volume);
    }
    volume.used = used_in(volume.name);
    keep_what_boots(volume, place);
    volumes.push_back(std::move(volume));
  };
  if (layout_.kind == TableKind::none) {
    add("whole disk", 0, {0, size()});
  } else {
    for (const auto& partition : layout_.partitions) {
      add(fmt::format("partition {}", partition.number), partition.number, partition.range);
    }
  }
  return volumes;
}

}  // namespace imgtool::guest
