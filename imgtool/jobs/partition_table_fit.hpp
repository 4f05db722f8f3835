// Makes the partition table of a burned disk fit that disk: the backup GPT at its end, the old one
// wiped, the last partition grown where that was asked for.
//
// A step of its own for each target, since disks differ in size: after the image's content is on
// the target and verified, before its first MiB is written. What belongs into that first MiB is
// handed back; the rest is written, flushed and read back here. The image's digest, and what
// verify compares, are those of the image as it is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/disks/partitions/fit.hpp"
#include "imgtool/jobs/burn_place.hpp"
#include "io/overlay_source.hpp"

namespace imgtool {

enum class RelocateGpt : std::uint8_t { automatic, always, never };

struct PartitionTableOptions {
  RelocateGpt relocate = RelocateGpt::automatic;
  bool grow_last = false;
  bool any_place = false;        // a whole disk's image may go into a partition
  bool allow_truncated = false;  // zeros take the place of what the image lacks
};

// A signature of the disk's earlier life, wiped behind the image.
struct WipedStray {
  std::string what;  // "GPT", "md RAID 1.0"
  io::ByteRange range;
};

// What became of one target's partition table.
struct PartitionTableChange {
  formats::partitions::Fit fit;
  std::vector<WipedStray> strays;
  std::uint64_t filled = 0;     // bytes behind a truncated image that became zeros
  std::uint64_t left_out = 0;   // bytes of the image, behind its partitions, without room
  std::vector<io::Patch> head;  // to be put over the image's beginning

  [[nodiscard]] bool nothing() const;
};

class PartitionTableFit {
 public:
  // `ring` outlives it.
  PartitionTableFit(io::Ring& ring, const PartitionTableOptions& options)
      : ring_(ring), options_(options) {}

  // The smallest disk that `image` may be burned to. Nothing: unknown, as for a stream.
  [[nodiscard]] std::optional<std::uint64_t> least_disk(io::Source& image) const;

  // Before anything is written: throws ErrorKind::refused when the image ends before its partitions
  // do, or the table of `image` could not be
  // used on `place`, or not be changed as asked. `whole` is false for the head of a stream.
  void check(io::Source& image, bool whole, const BurnPlace& place) const;

  // `content`: what the target must hold, `content.size()` bytes. `head_size`: how much of it is
  // not yet written. `before_writing` hears which ranges will no longer be those of the image.
  // Throws io::Error when the target cannot be written, or reads back other bytes.
  [[nodiscard]] PartitionTableChange run(
      io::Source& content, std::uint64_t head_size, const BurnPlace& place, BurnMedium& medium,
      const std::function<void(const std::vector<io::Patch>&)>& before_writing) const;

 private:
  [[nodiscard]] formats::partitions::Fit fit(io::Source& content, const BurnPlace& place) const;
  void write(const std::vector<io::Patch>& patches, const BurnPlace& place, BurnMedium& medium,
             std::uint64_t size) const;
  [[nodiscard]] std::vector<WipedStray> strays(BurnMedium& medium, std::uint64_t content_size,
                                               std::uint64_t disk_size,
                                               const std::vector<io::Patch>& written) const;
  void refuse_truncated(io::Source& content, const std::string& name) const;
  [[nodiscard]] std::uint64_t fill_up(io::Source& content, const BurnPlace& place,
                                      BurnMedium& medium) const;

  io::Ring& ring_;
  PartitionTableOptions options_;
};

// What is missing of `image`, as a sentence: "partition 2 ends 3145728 bytes behind it ..."; ""
// when it is whole, or a stream.
[[nodiscard]] std::string truncation_in_words(io::Ring& ring, io::Source& image);

// The same for people: "note: NAME was cut short: ...", or "".
[[nodiscard]] std::string note_of_truncation(io::Ring& ring, io::Source& image,
                                             const std::string& name);

// Whether all `differences` between the image and a disk that was burned from it are where a burn
// fits the partition table to the disk, and there is what it puts there. `disk` shows all of it.
[[nodiscard]] bool explained_by_table(io::Ring& ring, io::Source& image, io::Source& disk,
                                      std::optional<std::uint64_t> sector_size,
                                      const std::vector<io::ByteRange>& differences);

// In words, for people: "" when there is nothing to tell.
[[nodiscard]] std::string in_words(const PartitionTableChange& change);

}  // namespace imgtool
