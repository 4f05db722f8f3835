#include "imgtool/jobs/partition_table_fit.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/partitions/truncation.hpp"
#include "formats/disks/stale_signatures.hpp"
#include "imgtool/terminal/human.hpp"
#include "io/error.hpp"
#include "io/range_map.hpp"
#include "io/task_group.hpp"

namespace imgtool {
namespace {

using formats::DiskView;
using formats::partitions::find_truncation;
using formats::partitions::Fit;
using formats::partitions::is_iso;
using formats::partitions::Layout;
using formats::partitions::TableKind;
using formats::partitions::Truncation;

constexpr unsigned tries = 3;
constexpr std::uint64_t large_disk = std::uint64_t{1} << 62;

std::string in_words(const Truncation& truncation) {
  return fmt::format(
      "partition {} does not end in it; {} bytes are missing up to the end of the "
      "last partition",
      truncation.partition, truncation.missing_bytes);
}

bool overlaps(io::ByteRange range, const std::vector<io::Patch>& patches) {
  return std::any_of(patches.begin(), patches.end(), [range](const io::Patch& patch) {
    return !io::intersection(range, patch.range()).empty();
  });
}

// A stream shows its table only now that the question was answered.
void refuse_partition(const Layout& layout, const BurnPlace& place) {
  if (layout.partitions.empty() || !place.is_partition()) return;
  throw io::Error::refusal(place.path(),
                           "is a partition, and the image is of a whole disk "
                           "(--force-partition burns it)");
}

void refuse_other_sectors(const Layout& layout, const BurnPlace& place) {
  if (!place.sector_size()) return;
  const auto conflict = formats::partitions::sector_conflict(layout, *place.sector_size());
  if (conflict.empty()) return;
  throw io::Error(io::ErrorKind::refused, place.path(),
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

bool PartitionTableChange::nothing() const {
  return fit.patches.empty() && !fit.growth && fit.kept_because.empty() && strays.empty() &&
         left_out == 0 && filled == 0;
}

std::optional<std::uint64_t> PartitionTableFit::least_disk(io::Source& image) const {
  if (!image.seekable() || !image.size()) return std::nullopt;
  if (options_.relocate == RelocateGpt::never) return image.size();
  DiskView view(ring_, image);
  const Layout layout = formats::partitions::read_layout(view);
  // A digest inside an ISO 9660 image, which installers check, covers its partition table.
  const bool leave = options_.relocate == RelocateGpt::automatic && is_iso(view);
  if (leave || layout.partitions.empty()) return image.size();
  return std::min(*image.size(), layout.least_size());
}

void PartitionTableFit::check(io::Source& image, bool whole, const BurnPlace& place) const {
  if (whole) refuse_truncated(image, image.name());
  if (!whole && !options_.any_place) {
    DiskView view(ring_, image);
    refuse_partition(formats::partitions::read_layout(view, {.disk_size = large_disk}), place);
  }
  if (options_.relocate == RelocateGpt::never) return;
  if (whole) {
    DiskView view(ring_, image);
    refuse_other_sectors(formats::partitions::read_layout(view), place);
    (void)fit(image, place);
    return;
  }
  DiskView view(ring_, image);
  const Layout layout = formats::partitions::read_layout(view, {.disk_size = large_disk});
  refuse_other_sectors(layout, place);
  if (options_.grow_last && layout.kind == TableKind::none) {
    throw io::Error(io::ErrorKind::refused, image.name(),
                    "has no partition table, so no partition can grow; burn without --grow-last");
  }
}

void PartitionTableFit::refuse_truncated(io::Source& content, const std::string& name) const {
  if (options_.allow_truncated) return;
  const std::string words = truncation_in_words(ring_, content);
  if (words.empty()) return;
  throw io::Error::refusal(
      name,
      fmt::format("the image was cut short: {} (--allow-truncated burns it, and makes them zeros)",
                  words));
}

// Zeros from the end of a truncated image to that of its partitions, as far as the disk goes.
std::uint64_t PartitionTableFit::fill_up(io::Source& content, const BurnPlace& place,
                                         BurnMedium& medium) const {
  const std::uint64_t size = content.size().value_or(0);
  DiskView view(ring_, content);
  const auto truncation = find_truncation(view, formats::partitions::read_layout(view));
  if (!truncation) return 0;
  const std::uint64_t end = std::min(truncation->end, place.disk_size(size));
  const io::ByteRange missing = io::range_between(size, end);
  if (missing.empty()) return 0;
  io::run_task(ring_, medium.target().zero(missing));
  io::run_task(ring_, medium.target().flush());
  return missing.length;
}

Fit PartitionTableFit::fit(io::Source& content, const BurnPlace& place) const {
  const std::uint64_t size = content.size().value_or(0);
  const std::uint64_t disk_size = place.disk_size(size);
  if (options_.relocate == RelocateGpt::never) return {};
  if (disk_size == size && !options_.grow_last) return {};
  DiskView view(ring_, content);
  const Layout layout = formats::partitions::read_layout_of_disk(view, place.sector_size());
  if (find_truncation(view, layout)) {
    Fit left;
    left.kept_because = "the image was cut short";
    return left;
  }
  if (options_.relocate == RelocateGpt::automatic && !options_.grow_last && is_iso(view)) {
    Fit left;
    if (layout.gpt) {
      left.kept_because =
          "an ISO image checks itself, its table too (--relocate-gpt=always "
          "changes it)";
    }
    return left;
  }
  return formats::partitions::fit_to_disk(
      view, layout, {disk_size, options_.grow_last, options_.relocate == RelocateGpt::always});
}

PartitionTableChange PartitionTableFit::run(
    io::Source& content, std::uint64_t head_size, const BurnPlace& place, BurnMedium& medium,
    const std::function<void(const std::vector<io::Patch>&)>& before_writing) const {
  const std::uint64_t size = content.size().value_or(0);
  const std::uint64_t disk_size = place.disk_size(size);
  PartitionTableChange change;
  change.left_out = size > disk_size ? size - disk_size : 0;
  refuse_truncated(content, place.path());
  change.fit = fit(content, place);
  if (options_.allow_truncated) change.filled = fill_up(content, place, medium);
  std::vector<io::Patch> rest;
  split(change.fit.patches, head_size, change.head, rest);
  if (options_.relocate != RelocateGpt::never) {
    change.strays = strays(medium, size, disk_size, change.fit.patches);
    for (const WipedStray& stray : change.strays) {
      rest.push_back({stray.range.offset, std::vector<std::byte>(stray.range.length)});
    }
  }
  if (rest.empty()) return change;
  before_writing(rest);
  write(rest, place, medium, disk_size);
  return change;
}

// What earlier days left at the end of the disk: the image does not reach it, and programs that
// look for it would find it.
std::vector<WipedStray> PartitionTableFit::strays(BurnMedium& medium, std::uint64_t content_size,
                                                  std::uint64_t disk_size,
                                                  const std::vector<io::Patch>& written) const {
  if (disk_size <= content_size) return {};
  const auto found_there = medium.read_back(disk_size);
  DiskView disk(ring_, *found_there);
  std::vector<WipedStray> found;
  const auto add = [&](std::string what, io::ByteRange range) {
    const bool known = std::any_of(found.begin(), found.end(), [range](const WipedStray& other) {
      return !io::intersection(range, other.range).empty();
    });
    if (!known && !overlaps(range, written)) found.push_back({std::move(what), range});
  };
  for (auto& stale : formats::stale_signatures(disk, content_size)) {
    add(std::move(stale.what), stale.range);
  }
  for (const io::ByteRange& range : formats::partitions::stray_backup(disk, content_size)) {
    add("GPT", range);
  }
  return found;
}

void PartitionTableFit::write(const std::vector<io::Patch>& patches, const BurnPlace& place,
                              BurnMedium& medium, std::uint64_t size) const {
  for (unsigned round = 0; round < tries; ++round) {
    for (const io::Patch& patch : patches) {
      const io::AlignedMemory memory(patch.bytes.size());
      std::copy(patch.bytes.begin(), patch.bytes.end(), memory.bytes().begin());
      io::run_task(ring_,
                   medium.target().write(patch.offset, memory.buffer().first(patch.bytes.size())));
    }
    io::run_task(ring_, medium.target().flush());
    const auto written = medium.read_back(size);
    DiskView disk(ring_, *written);
    const bool all = std::all_of(patches.begin(), patches.end(), [&](const io::Patch& patch) {
      return disk.read(patch.offset, patch.bytes.size()) == patch.bytes;
    });
    if (all) return;
  }
  throw io::Error(io::ErrorKind::mismatch, place.path(),
                  fmt::format("its partition table reads back other bytes than were written, even "
                              "after {} tries",
                              tries));
}

std::string truncation_in_words(io::Ring& ring, io::Source& image) {
  if (!image.seekable() || !image.size()) return "";
  DiskView view(ring, image);
  const auto truncation = find_truncation(view, formats::partitions::read_layout(view));
  return truncation ? in_words(*truncation) : "";
}

std::string note_of_truncation(io::Ring& ring, io::Source& image, const std::string& name) {
  const std::string missing = truncation_in_words(ring, image);
  return missing.empty() ? "" : fmt::format("note: {} was cut short: {}", name, missing);
}

bool explained_by_table(io::Ring& ring, io::Source& image, io::Source& disk,
                        std::optional<std::uint64_t> sector_size,
                        const std::vector<io::ByteRange>& differences) {
  DiskView view(ring, image);
  DiskView found(ring, disk);
  const Layout layout = formats::partitions::read_layout_of_disk(view, sector_size);
  for (const auto& [grow_last, always] : {std::pair(false, false), std::pair(false, true),
                                          std::pair(true, false), std::pair(true, true)}) {
    if (grow_last && layout.partitions.empty()) break;
    Fit fit;
    try {
      fit = formats::partitions::fit_to_disk(view, layout, {found.size(), grow_last, always});
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

std::string in_words(const PartitionTableChange& change) {
  const Fit& fit = change.fit;
  std::vector<std::string> parts;
  if (fit.primary_restored) parts.emplace_back("damaged primary GPT restored from the backup");
  if (fit.primary_left) {
    parts.emplace_back(
        "damaged primary GPT left as it is, since something else lies in its place "
        "(--relocate-gpt=always restores it)");
  }
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
  if (!fit.kept_because.empty()) {
    parts.push_back(fmt::format("partition table left as it is: {}", fit.kept_because));
  }
  if (change.filled > 0) {
    parts.push_back(fmt::format("zeros for {} bytes that the image lacks", change.filled));
  }
  std::set<std::string> wiped;
  for (const WipedStray& stray : change.strays) wiped.insert(stray.what);
  if (!wiped.empty()) {
    parts.push_back(fmt::format("what an earlier use left at the end of the disk wiped ({})",
                                fmt::join(wiped, ", ")));
  }
  if (change.left_out > 0) {
    parts.push_back(
        fmt::format("the image's last {} bytes, behind its partitions, left out", change.left_out));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace imgtool
