// Makes a partition table fit a disk of another size than the image that it came with.
//
// A GPT keeps its second copy at the end of the disk, so after a burn to a larger disk that copy
// is in the wrong place, and on a slightly smaller disk it is missing. Here is decided which bytes
// have to change; the caller writes them. GUIDs, types, names and attributes stay.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/disks/partitions/layout.hpp"
#include "io/overlay_source.hpp"

namespace formats::partitions {

struct FitOptions {
  std::uint64_t disk_size = 0;  // of the disk that the table is for
  bool grow_last = false;       // the last partition takes what is behind it
  // A damaged primary GPT is restored even where something else lies in its place.
  bool over_other_content = false;
};

struct Growth {
  unsigned partition = 0;
  std::uint64_t before = 0;  // its size in bytes
  std::uint64_t after = 0;
};

struct Fit {
  // What differs from the content; disjoint, and inside the disk.
  std::vector<io::Patch> patches;
  bool backup_moved = false;      // a valid backup GPT is at the disk's end now
  bool primary_restored = false;  // the primary was damaged, the backup was not
  // The same, and it stays so: something else lies in its place, as boot loaders do that their
  // machine loads from there. Systems go by the backup.
  bool primary_left = false;
  std::optional<Growth> growth;
  std::vector<io::ByteRange> wiped;  // where an old backup GPT was
  // Why the table stays as it is although the disk has another size; else "".
  std::string kept_because;
};

// `content` is what the disk holds or will hold from its beginning on, `layout` its table, read
// with the content's own size. The disk has at least layout.least_size() bytes.
// Throws ErrorKind::refused when `grow_last` asks for what cannot be done.
[[nodiscard]] Fit fit_to_disk(DiskView& content, const Layout& layout, const FitOptions& options);

// Why a disk with sectors of `sector_size` bytes could not be used with this table; or "".
[[nodiscard]] std::string sector_conflict(const Layout& layout, std::uint64_t sector_size);

// What the end of `disk` still says of a GPT of earlier days, the header and its entries, where it
// lies behind `from`. Ascending; nothing when there is none.
[[nodiscard]] std::vector<io::ByteRange> stray_backup(DiskView& disk, std::uint64_t from);

}  // namespace formats::partitions
