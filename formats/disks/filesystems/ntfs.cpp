#include "formats/disks/filesystems/ntfs.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"
#include "formats/disks/filesystems/ntfs/boot_sector.hpp"
#include "formats/disks/filesystems/ntfs/log_file.hpp"
#include "formats/disks/filesystems/ntfs/mft.hpp"
#include "formats/disks/filesystems/ntfs/walk.hpp"

namespace formats::filesystems {
namespace {

using ntfs::AttributeType;
using ntfs::Geometry;
using ntfs::Mft;
using ntfs::Stream;

namespace system_file {
constexpr std::uint64_t log = 2;
constexpr std::uint64_t volume = 3;
constexpr std::uint64_t bitmap = 6;
constexpr std::uint64_t count = 16;
}  // namespace system_file

constexpr unsigned dirty = 1;               // of $Volume's flags
constexpr std::size_t flags_in_value = 10;  // of $VOLUME_INFORMATION
constexpr std::size_t flags_bytes = 2;

void check_flags(unsigned flags) {
  constexpr unsigned being_checked = 0x4000, changed_by_check = 0x8000;
  constexpr unsigned resize_log = 2, upgrade = 4, repair_ids = 0x20;
  if ((flags & (dirty | being_checked | changed_by_check)) != 0) {
    throw Doubt(Reason::in_use,
                "is in use, was not unmounted, or wants to be checked (its dirty mark is set)",
                ntfs::remedy_check);
  }
  if ((flags & (resize_log | upgrade | repair_ids)) != 0) {
    throw Doubt(Reason::damaged, "Windows is to change it when it starts next",
                ntfs::remedy_shutdown);
  }
}

// Checks $Volume; its label.
std::string read_volume(Mft& mft) {
  const ntfs::Record record = mft.record(system_file::volume);
  const ntfs::Attribute* information = record.find(AttributeType::volume_information);
  if (information == nullptr || information->value.size() < 12) {
    throw Doubt(Reason::damaged, "its $Volume tells nothing", ntfs::remedy_check);
  }
  const auto major = std::to_integer<unsigned>(information->value[8]);
  const auto minor = std::to_integer<unsigned>(information->value[9]);
  if (major != 3) {
    throw Doubt(Reason::unsupported,
                fmt::format("NTFS of the unknown version {}.{}", major, minor));
  }
  check_flags(load_little_endian<std::uint16_t>(information->value, flags_in_value));
  const ntfs::Attribute* name = record.find(AttributeType::volume_name);
  return name == nullptr ? "" : utf8_from_utf16(name->value);
}

FreeClusters read_bitmap(Stream& bitmap, const Geometry& geometry) {
  const std::uint64_t length = (geometry.clusters + 7) / 8;
  // What is not initialized would read as zeros, which means free.
  if (bitmap.initialized < length) {
    throw Doubt(Reason::damaged, "its $Bitmap is shorter than the volume", ntfs::remedy_check);
  }
  FreeClusters free(0, geometry.cluster_size);
  for (std::uint64_t at = 0; at < length; at += io::MiB) {
    const std::uint64_t size = std::min<std::uint64_t>(io::MiB, length - at);
    free.add_clear_bits(bitmap.read(at, size), at * 8,
                        std::min(size * 8, geometry.clusters - at * 8));
  }
  return free;
}

// Windows marks the log before it changes anything; all drivers change the bitmap when they take
// a cluster.
std::vector<io::ByteRange> witnesses(Mft& mft, const Stream& log, const Stream& bitmap) {
  const Geometry& geometry = mft.geometry();
  std::vector<io::ByteRange> ranges{{0, geometry.sector_size}};
  const auto append = [&](const std::vector<io::ByteRange>& more) {
    ranges.insert(ranges.end(), more.begin(), more.end());
  };
  append(mft.data().places(system_file::count * geometry.record_size));
  append(log.places(std::min<std::uint64_t>(log.size, 8 * io::KiB)));
  append(bitmap.places(bitmap.size));
  return ranges;
}

// Fills in what becomes known; the free ranges last.
void examine(DiskView& volume, const Geometry& geometry, MapCheck check, FileSystem& found) {
  found.uuid = geometry.uuid;
  found.block_size = geometry.cluster_size;
  // What it means that the end is missing is judged by probe(), which asks all parsers.
  if (volume.size() + io::MiB <= geometry.size) return;

  Mft mft(volume, geometry);
  found.label = read_volume(mft);
  const Stream log = mft.data_of(system_file::log);
  ntfs::check_log(log);
  Stream bitmap = mft.data_of(system_file::bitmap);
  found.witnesses = witnesses(mft, log, bitmap);
  if (check == MapCheck::witnesses_only) return;
  FreeClusters free = read_bitmap(bitmap, geometry);
  ntfs::walk_mft(volume, mft, free);
  found.free = std::move(free).take();
}

std::optional<io::Patch> find_dirty_mark(DiskView& volume) {
  const Geometry geometry = ntfs::parse_boot_sector(volume.read(0, ntfs::boot_sector_bytes));
  Mft mft(volume, geometry);
  const ntfs::Record record = mft.record(system_file::volume);
  const ntfs::Attribute* information = record.find(AttributeType::volume_information);
  if (information == nullptr || information->value.size() < flags_in_value + flags_bytes) {
    return std::nullopt;
  }
  const auto flags = load_little_endian<std::uint16_t>(information->value, flags_in_value);
  if ((flags & dirty) == 0) return std::nullopt;
  const std::uint64_t end = system_file::volume * geometry.record_size +
                            record.place_of(*information) + flags_in_value + flags_bytes;
  io::Patch patch;
  patch.offset = mft.data().places(end).back().end() - flags_bytes;
  patch.bytes = volume.read(patch.offset, flags_bytes);
  // The end of a stride is held elsewhere; see undo_fixup().
  if (load_little_endian<std::uint16_t>(patch.bytes, 0) != flags) return std::nullopt;
  patch.bytes.front() &= ~std::byte{dirty};
  return patch;
}

}  // namespace

std::optional<io::Patch> without_dirty_mark(DiskView& volume) {
  try {
    return find_dirty_mark(volume);
  } catch (const Doubt&) {
    return std::nullopt;
  }
}

std::optional<FileSystem> probe_ntfs(DiskView& volume, MapCheck check) {
  if (!volume.holds(0, ntfs::boot_sector_bytes)) return std::nullopt;
  const std::vector<std::byte> sector = volume.read(0, ntfs::boot_sector_bytes);
  if (!ntfs::has_signature(sector)) return std::nullopt;
  FileSystem known;
  known.type = "ntfs";
  known.size = ntfs::claimed_size(sector);
  return mapped(std::move(known), ntfs::remedy_check, [&](FileSystem& found) {
    examine(volume, ntfs::parse_boot_sector(sector), check, found);
  });
}

}  // namespace formats::filesystems
