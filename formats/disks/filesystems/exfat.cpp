#include "formats/disks/filesystems/exfat.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/exfat/allocation.hpp"
#include "formats/disks/filesystems/exfat/directory.hpp"
#include "formats/disks/filesystems/exfat/volume.hpp"

namespace formats::filesystems {
namespace {

using exfat::Allocation;
using exfat::ClusterRun;
using exfat::DirectoryReader;
using exfat::EntrySet;
using exfat::Volume;

// The label entry has room for 11 characters.
std::string label_in(const EntrySet& set) {
  const std::size_t characters = std::min(std::to_integer<std::size_t>(set[1]), std::size_t{11});
  return utf8_from_utf16(std::span(set).subspan(2, characters * 2));
}

class Examination {
 public:
  // All of them outlive it.
  Examination(DiskView& view, const Volume& volume, FileSystem& found)
      : view_(view),
        volume_(volume),
        found_(found),
        allocations_(view, volume),
        root_(allocations_.runs({volume_.root_cluster, {}, false}, exfat::longest_directory)) {}

  // Fills in what becomes known; the free ranges last.
  void run(MapCheck map_check) {
    const std::vector<ClusterRun> bitmap = find_bitmap();
    take_witnesses(bitmap);
    if (map_check == MapCheck::witnesses_only) return;
    free_ = exfat::read_bitmap(view_, volume_, bitmap);
    for (const ClusterRun& run : bitmap) check(run);
    for (const ClusterRun& run : root_) check(run);
    read_directory(root_);
    while (!pending_.empty()) {
      const Allocation directory = pending_.back();
      pending_.pop_back();
      const std::vector<ClusterRun> runs = allocations_.runs(directory, exfat::longest_directory);
      for (const ClusterRun& run : runs) check(run);
      read_directory(runs);
    }
    found_.free = std::move(free_).take();
  }

 private:
  std::vector<ClusterRun> find_bitmap() {
    DirectoryReader reader(view_, volume_, root_);
    std::optional<Allocation> bitmap;
    while (const auto set = reader.next()) {
      if (exfat::type_of(*set) != exfat::entry_type::bitmap) continue;
      if (bitmap || ((*set)[1] & std::byte{1}) != std::byte{0}) {
        throw Doubt(Reason::unsupported, "has two bitmaps (TexFAT), which imgtool does not know");
      }
      bitmap = exfat::allocation_in(*set, 0);
    }
    if (!bitmap) throw Doubt(Reason::damaged, "has no bitmap", exfat::remedy_check);
    return allocations_.runs(*bitmap, (std::uint64_t{volume_.clusters} + 7) / 8 + io::MiB);
  }

  void read_directory(const std::vector<ClusterRun>& runs) {
    DirectoryReader reader(view_, volume_, runs);
    while (const auto set = reader.next()) read_entries(*set);
  }

  void read_entries(const EntrySet& set) {
    switch (exfat::type_of(set)) {
      case exfat::entry_type::bitmap:
      case exfat::entry_type::volume_guid:
      case exfat::entry_type::padding:
        return;
      case exfat::entry_type::upcase_table:
        return check_file(exfat::allocation_in(set, 0));
      case exfat::entry_type::label:
        found_.label = label_in(set);
        return;
      case exfat::entry_type::file:
        return read_file(set);
      default:
        throw Doubt(
            Reason::damaged,
            fmt::format("a directory has an entry of the unknown type {:#x}", exfat::type_of(set)),
            exfat::remedy_check);
    }
  }

  // The file's own entry comes first; of the others, each may have clusters, except for names.
  void read_file(const EntrySet& set) {
    constexpr unsigned stream = 0xc0, name = 0xc1;
    const bool directory = (load_little_endian<std::uint16_t>(set, 4) & 0x10) != 0;
    for (std::size_t at = exfat::entry_bytes; at < set.size(); at += exfat::entry_bytes) {
      const auto type = std::to_integer<unsigned>(set[at]);
      if (type == name) continue;
      const Allocation allocation = exfat::allocation_in(set, at);
      if (directory && type == stream && *allocation.length > 0) {
        pending_.push_back(allocation);
      } else {
        check_file(allocation);
      }
    }
  }

  void check_file(const Allocation& allocation) {
    allocations_.follow(allocation, [this](ClusterRun run) { check(run); });
  }

  void check(ClusterRun run) {
    if (free_.have_any_of(run.first - 2, run.count)) {
      throw Doubt(Reason::damaged, "a file uses a cluster that the bitmap calls free",
                  exfat::remedy_check);
    }
  }

  void take_witnesses(const std::vector<ClusterRun>& bitmap) {
    found_.witnesses.push_back({0, volume_.sector_size});
    for (const ClusterRun& run : bitmap) {
      found_.witnesses.push_back(
          {volume_.offset_of(run.first), std::uint64_t{run.count} * volume_.cluster_size});
    }
  }

  DiskView& view_;
  const Volume& volume_;
  FileSystem& found_;
  exfat::Allocations allocations_;
  std::vector<ClusterRun> root_;
  FreeClusters free_{0, 1};
  std::vector<Allocation> pending_;  // directories
};

}  // namespace

std::optional<FileSystem> probe_exfat(DiskView& view, MapCheck check) {
  if (!view.holds(0, 512)) return std::nullopt;
  const std::vector<std::byte> sector = view.read(0, 512);
  if (!exfat::has_signature(sector)) return std::nullopt;
  FileSystem known;
  known.type = "exfat";
  known.size = exfat::claimed_size(sector);
  // What it means that the end is missing is judged by probe(), which asks all parsers.
  if (known.size > 0 && view.size() + io::MiB <= known.size) return known;
  return mapped(std::move(known), exfat::remedy_check, [&](FileSystem& found) {
    const Volume volume = exfat::read_volume(view);
    found.uuid = volume.uuid;
    found.block_size = volume.cluster_size;
    if (!view.holds(0, volume.first_cluster)) {
      throw Doubt(Reason::cut_off, "the disk or partition ends inside its tables",
                  "take the image again");
    }
    Examination(view, volume, found).run(check);
  });
}

}  // namespace formats::filesystems
