#include "imgtool/table_step.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/disk_view.hpp"
#include "imgtool/human.hpp"
#include "io/error.hpp"
#include "io/range_map.hpp"
#include "io/task_group.hpp"

namespace imgtool {
namespace {

using formats::DiskView;
using formats::partitions::Fit;
using formats::partitions::Layout;
using formats::partitions::TableKind;

constexpr unsigned tries = 3;
constexpr std::uint64_t large_disk = std::uint64_t{1} << 62;

// An ISO 9660 image: a digest inside it, which installers check, covers its partition table.
bool is_iso(DiskView& content) {
  constexpr std::string_view name = "CD001";
  constexpr std::uint64_t place = 32'769;
  if (!content.holds(place, name.size())) return false;
  const auto found = content.read(place, name.size());
  return std::equal(name.begin(), name.end(), found.begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

void refuse_other_sectors(const Layout& layout, const BurnTarget& target) {
  if (!target.sector_size()) return;
  const auto conflict = formats::partitions::sector_conflict(layout, *target.sector_size());
  if (conflict.empty()) return;
  throw io::Error(io::ErrorKind::refused, target.path(),
                  fmt::format("the image was made for other disks: {} (--relocate-gpt=never burns "
                              "it nevertheless)",
                              conflict));
}

// The pieces of `patches` before `limit`, and those from there on.
void split(const std::vector<io::Patch>& patches, std::uint64_t limit,
           std::vector<io::Patch>& before, std::vector<io::Patch>& behind) {
  for (const io::Patch& patch : patches) {
    const io::ByteRange low = io::intersection(patch.range(), {0, limit});
    const auto cut = patch.bytes.begin() + static_cast<std::ptrdiff_t>(low.length);
    if (!low.empty()) before.push_back({patch.offset, {patch.bytes.begin(), cut}});
    if (cut == patch.bytes.end()) continue;
    behind.push_back({patch.offset + low.length, {cut, patch.bytes.end()}});
  }
}

}  // namespace

bool TableChange::nothing() const {
  return fit.patches.empty() && !fit.growth && fit.left_because.empty() && strays.empty() &&
         left_out == 0;
}

std::optional<std::uint64_t> TableStep::least_disk(io::Source& image) const {
  if (!image.seekable() || !image.size()) return std::nullopt;
  if (options_.relocate == RelocateGpt::never) return image.size();
  DiskView view(ring_, image);
  const Layout layout = formats::partitions::read_layout(view);
  const bool leave = options_.relocate == RelocateGpt::automatic && is_iso(view);
  if (leave || layout.partitions.empty()) return image.size();
  return std::min(*image.size(), layout.least_size());
}

void TableStep::check(io::Source& image, bool whole, const BurnTarget& target) const {
  if (options_.relocate == RelocateGpt::never) return;
  if (whole) {
    DiskView view(ring_, image);
    refuse_other_sectors(formats::partitions::read_layout(view), target);
    (void)fit(image, target);
    return;
  }
  DiskView view(ring_, image);
  const Layout layout = formats::partitions::read_layout(view, {.disk_size = large_disk});
  refuse_other_sectors(layout, target);
  if (options_.grow_last && layout.kind == TableKind::none) {
    throw io::Error(io::ErrorKind::refused, image.name(),
                    "has no partition table, so no partition can grow; burn without --grow-last");
  }
}

Fit TableStep::fit(io::Source& content, const BurnTarget& target) const {
  const std::uint64_t size = content.size().value_or(0);
  const std::uint64_t disk_size = target.disk_size(size);
  if (options_.relocate == RelocateGpt::never) return {};
  if (disk_size == size && !options_.grow_last) return {};
  DiskView view(ring_, content);
  const Layout layout = formats::partitions::read_layout_of_disk(view, target.sector_size());
  if (options_.relocate == RelocateGpt::automatic && !options_.grow_last && is_iso(view)) {
    Fit left;
    if (layout.gpt) {
      left.left_because =
          "an ISO image checks itself, its table too (--relocate-gpt=always "
          "changes it)";
    }
    return left;
  }
  return formats::partitions::fit_to_disk(view, layout, {disk_size, options_.grow_last});
}

TableChange TableStep::run(
    io::Source& content, std::uint64_t head_size, BurnTarget& target,
    const std::function<void(const std::vector<io::Patch>&)>& before_writing) const {
  const std::uint64_t size = content.size().value_or(0);
  const std::uint64_t disk_size = target.disk_size(size);
  TableChange change;
  change.left_out = size > disk_size ? size - disk_size : 0;
  change.fit = fit(content, target);
  std::vector<io::Patch> rest;
  split(change.fit.patches, head_size, change.head, rest);
  if (options_.relocate != RelocateGpt::never && !change.fit.backup_moved) {
    for (io::Patch& stray : strays(target, size, disk_size)) {
      change.strays.push_back(stray.range());
      rest.push_back(std::move(stray));
    }
  }
  if (rest.empty()) return change;
  before_writing(rest);
  write(rest, target, disk_size);
  return change;
}

// A GPT header of earlier days at the end of the disk: the image does not reach it, and programs
// that look for one would find it.
std::vector<io::Patch> TableStep::strays(BurnTarget& target, std::uint64_t content_size,
                                         std::uint64_t disk_size) const {
  if (disk_size <= content_size) return {};
  const auto medium = target.medium(ring_, disk_size);
  DiskView disk(ring_, *medium);
  std::vector<io::Patch> found;
  for (const io::ByteRange& range : formats::partitions::stray_backup(disk, content_size)) {
    found.push_back({range.offset, std::vector<std::byte>(range.length)});
  }
  return found;
}

void TableStep::write(const std::vector<io::Patch>& patches, BurnTarget& target,
                      std::uint64_t size) const {
  for (unsigned round = 0; round < tries; ++round) {
    for (const io::Patch& patch : patches) {
      const io::AlignedMemory memory(patch.bytes.size());
      std::copy(patch.bytes.begin(), patch.bytes.end(), memory.bytes().begin());
      io::run_task(ring_,
                   target.target().write(patch.offset, memory.buffer().first(patch.bytes.size())));
    }
    io::run_task(ring_, target.target().flush());
    const auto medium = target.medium(ring_, size);
    DiskView disk(ring_, *medium);
    const bool all = std::all_of(patches.begin(), patches.end(), [&](const io::Patch& patch) {
      return disk.read(patch.offset, patch.bytes.size()) == patch.bytes;
    });
    if (all) return;
  }
  throw io::Error(io::ErrorKind::mismatch, target.path(),
                  fmt::format("its partition table reads back other bytes than were written, even "
                              "after {} tries",
                              tries));
}

bool explained_by_table(io::Ring& ring, io::Source& image, io::Source& disk,
                        std::optional<std::uint64_t> sector_size,
                        const std::vector<io::ByteRange>& differences) {
  DiskView view(ring, image);
  DiskView found(ring, disk);
  const Layout layout = formats::partitions::read_layout_of_disk(view, sector_size);
  for (const bool grow_last : {false, true}) {
    if (grow_last && layout.partitions.empty()) break;
    Fit fit;
    try {
      fit = formats::partitions::fit_to_disk(view, layout, {found.size(), grow_last});
    } catch (const io::Error& error) {
      if (error.kind() != io::ErrorKind::refused) throw;
      continue;
    }
    io::RangeMap<bool> changed(found.size(), false);
    for (const io::Patch& patch : fit.patches) changed.set(patch.range(), true);
    const bool as_written =
        std::all_of(fit.patches.begin(), fit.patches.end(), [&](const io::Patch& patch) {
          return found.read(patch.offset, patch.bytes.size()) == patch.bytes;
        });
    const bool only_there =
        std::all_of(differences.begin(), differences.end(), [&](const io::ByteRange& range) {
          const auto entry = changed.at(range.offset);
          return entry.value && range.end() <= entry.range.end();
        });
    if (as_written && only_there) return true;
  }
  return false;
}

std::string in_words(const TableChange& change) {
  const Fit& fit = change.fit;
  std::vector<std::string> parts;
  if (fit.primary_restored) parts.emplace_back("damaged primary GPT restored from the backup");
  if (fit.backup_moved) {
    parts.emplace_back(fit.wiped.empty()
                           ? "backup GPT written at the end of the disk"
                           : "backup GPT moved to the end of the disk, the old one wiped");
  }
  if (fit.growth && fit.growth->after > fit.growth->before) {
    parts.push_back(fmt::format("partition {} grown from {} to {}", fit.growth->partition,
                                human_size(fit.growth->before), human_size(fit.growth->after)));
  } else if (fit.growth) {
    parts.push_back(fmt::format("partition {} fills the disk already", fit.growth->partition));
  }
  if (!fit.left_because.empty()) {
    parts.push_back(fmt::format("partition table left as it is: {}", fit.left_because));
  }
  if (!change.strays.empty()) {
    parts.emplace_back("an old backup GPT of this disk wiped");
  }
  if (change.left_out > 0) {
    parts.push_back(
        fmt::format("the image's last {} bytes, behind its partitions, left out", change.left_out));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace imgtool
