// Who owns which bytes of a disk: its partition table, read and checked once.
//
// A table is hostile until it was read here. What is wrong with it is listed, never thrown; only
// errors of the source are. Ranges and sizes are bytes. Memory and time: at most 4 MiB of a GPT's
// array, and 256 links of a chain of logical partitions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/partitions/gpt.hpp"
#include "formats/disks/partitions/mbr.hpp"
#include "io/byte_range.hpp"

namespace formats::partitions {

enum class TableKind : std::uint8_t { none, mbr, gpt };

struct Partition {
  unsigned number = 0;  // as Linux counts: /dev/sdaN
  io::ByteRange range;  // may reach behind the disk's end: see `sound`
  bool logical = false;
  // Lies inside the disk, and shares no byte with another partition or the table itself.
  bool sound = true;
  bool bootable = false;  // active in an MBR, legacy boot in a GPT

  std::uint8_t mbr_type = 0;  // of an MBR
  Guid type;                  // these are a GPT's
  Guid id;
  std::uint64_t attributes = 0;
  std::string name;  // from the disk: escape before printing
};

struct Layout {
  std::uint64_t disk_size = 0;
  std::uint64_t sector_size = 512;
  TableKind kind = TableKind::none;
  // A GPT whose MBR lists partitions of its own for old programs.
  bool hybrid = false;
  std::vector<Partition> partitions;  // by number; an extended one is not among them
  std::optional<io::ByteRange> extended;

  // What the table leaves to partitions; everything without a table.
  io::ByteRange usable;
  // Parts of it that belong to no partition, ascending. Old boot loaders live there.
  std::vector<io::ByteRange> gaps;

  // Sentences about what is wrong.
  std::vector<std::string> problems;
  // Every check passed, so that ranges may be relied on to leave data out.
  bool trusted = true;

  // The tables themselves, to be changed and written. A GPT has both.
  std::optional<Mbr> mbr;
  std::optional<Gpt> gpt;
  bool primary_valid = false;  // of a GPT
  bool backup_valid = false;   // and it is at the end of the disk

  // "0x1b2c3d4e" or a GUID; empty without a table.
  [[nodiscard]] std::string id() const;
  // Where the last partition ends, an extended one too; 0 without partitions.
  [[nodiscard]] std::uint64_t end_of_partitions() const;
  // The smallest disk that holds all partitions and the table. Without a table all of the disk.
  [[nodiscard]] std::uint64_t least_size() const;
};

// `disk_size`: where the disk ends, when the view shows only its beginning (a stream's head).
// `sector_size`: what the disk is known to have; else the content tells, and an MBR counts in
// sectors of 512 bytes.
struct LayoutOptions {
  std::optional<std::uint64_t> disk_size{};
  std::optional<std::uint64_t> sector_size{};
};

[[nodiscard]] Layout read_layout(DiskView& disk, const LayoutOptions& options = {});

// The same for a disk with sectors of `sector_size` bytes, if that is known: an MBR counts in
// these. A GPT says itself in what it counts.
[[nodiscard]] Layout read_layout_of_disk(DiskView& disk, std::optional<std::uint64_t> sector_size);

}  // namespace formats::partitions
