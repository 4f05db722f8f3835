// A smaller disk out of a larger one: where each partition lies afterwards, what the tables say
// then, and the smaller disk as a source.
//
// Numbers, order, types, GUIDs, names, attributes, the disk's id and the boot code stay. Partitions
// move down, never up, and only as far as nothing relies on: the first one, those that boot code
// finds by their place, and all of an MBR that Windows boots from stay where they are. Sizes and
// places are bytes of the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/disks/partitions/layout.hpp"
#include "io/overlay_source.hpp"
#include "io/source.hpp"

namespace formats::partitions {

// What of a partition's bytes comes along.
enum class Carry : std::uint8_t {
  all,          // its first `length` bytes
  swap_header,  // a swap area's header, made right for `length`; the rest becomes a hole
  nothing,      // all of it becomes a hole
};

// What shall become of one partition. Those that are not mentioned keep their length and all bytes,
// and may move. Where there is no table, partition 0 is the whole disk.
struct PartitionChange {
  unsigned number = 0;
  // At most what it has now. Rounded up to whole sectors. That its content ends there is the
  // caller's promise.
  std::uint64_t length = 0;
  Carry carry = Carry::all;
  bool may_move = true;
  std::string why_not{};  // of may_move, in words that fit behind "stays where it is: "
};

struct Placement {
  unsigned number = 0;
  std::uint64_t old_start = 0;
  std::uint64_t new_start = 0;
  std::uint64_t old_length = 0;
  std::uint64_t new_length = 0;
  // Why it stays although there is room before it; else "".
  std::string why_not_moved;

  [[nodiscard]] bool moved() const noexcept { return new_start != old_start; }
};

// Bytes of the old disk, and where they lie on the new one.
struct CarriedRange {
  io::ByteRange from;
  std::uint64_t to = 0;

  friend bool operator==(const CarriedRange&, const CarriedRange&) = default;
};

struct RelayoutOptions {
  // Windows boots from this MBR: it finds its partitions by their offsets, so none moves but one of
  // its recovery environment (type 27h, not active), which Windows has to be told of anew: reagentc
  // /disable and /enable.
  bool windows_mbr = false;
  // The starts of partitions that move, and the disk's size, become multiples of it. A multiple of
  // a sector.
  std::uint64_t alignment = io::MiB;
};

struct Relayout {
  std::uint64_t disk_size = 0;
  std::vector<Placement> placements;  // by number
  // Ascending by `to`, disjoint, inside the new disk. All that is not here reads as zeros.
  std::vector<CarriedRange> carried;
  // What goes over it: the tables, boot sectors that know their place, swap headers. Disjoint.
  std::vector<io::Patch> patches;
  // Parts of the old disk that belong to no partition, hold something, and do not come along.
  std::vector<io::ByteRange> left_out;
};

// `layout` is that of `disk`, all of which `disk` shows. Boot sectors and swap headers are read as
// they are now, so the patches are right for the content of this moment: plan again once file
// systems were changed. Throws ErrorKind::refused with the reason for what cannot be done safely.
[[nodiscard]] Relayout plan_relayout(DiskView& disk, const Layout& layout,
                                     std::span<const PartitionChange> changes,
                                     const RelayoutOptions& options = {});

// The new disk. `old_disk` is the source that was planned for, and outlives it. Extents are as
// `old_disk` tells them, in their new places.
[[nodiscard]] std::unique_ptr<io::Source> relaid_source(io::Source& old_disk, Relayout relayout);

}  // namespace formats::partitions
