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

#include "formats/partitions/fit.hpp"
#include "imgtool/burn_target.hpp"
#include "io/overlay_source.hpp"

namespace imgtool {

enum class RelocateGpt : std::uint8_t { automatic, always, never };

struct TableOptions {
  RelocateGpt relocate = RelocateGpt::automatic;
  bool grow_last = false;
};

// What became of one target's partition table.
struct TableChange {
  formats::partitions::Fit fit;
  std::vector<io::ByteRange> strays;  // of the disk's earlier life, wiped behind the image
  std::uint64_t left_out = 0;         // bytes of the image, behind its partitions, without room
  std::vector<io::Patch> head;        // to be put over the image's beginning

  [[nodiscard]] bool nothing() const;
};

class TableStep {
 public:
  // `ring` outlives it.
  TableStep(io::Ring& ring, const TableOptions& options) : ring_(ring), options_(options) {}

  // The smallest disk that `image` may be burned to. Nothing: unknown, as for a stream.
  [[nodiscard]] std::optional<std::uint64_t> least_disk(io::Source& image) const;

  // Before anything is written: throws ErrorKind::refused when the table of `image` could not be
  // used on `target`, or not be changed as asked. Of a stream the `image` is its head.
  void check(io::Source& image, bool whole, const BurnTarget& target) const;

  // `content`: what the target must hold, `content.size()` bytes. `head_size`: how much of it is
  // not yet written. `before_writing` hears which ranges will no longer be those of the image.
  // Throws io::Error when the target cannot be written, or reads back other bytes.
  [[nodiscard]] TableChange run(
      io::Source& content, std::uint64_t head_size, BurnTarget& target,
      const std::function<void(const std::vector<io::Patch>&)>& before_writing) const;

 private:
  [[nodiscard]] formats::partitions::Fit fit(io::Source& content, const BurnTarget& target) const;
  void write(const std::vector<io::Patch>& patches, BurnTarget& target, std::uint64_t size) const;
  [[nodiscard]] std::vector<io::Patch> strays(BurnTarget& target, std::uint64_t content_size,
                                              std::uint64_t disk_size) const;

  io::Ring& ring_;
  TableOptions options_;
};

// Whether all `differences` between the image and a disk that was burned from it are where a burn
// fits the partition table to the disk, and there is what it puts there. `disk` shows all of it.
[[nodiscard]] bool explained_by_table(io::Ring& ring, io::Source& image, io::Source& disk,
                                      std::optional<std::uint64_t> sector_size,
                                      const std::vector<io::ByteRange>& differences);

// In words, for people: "" when there is nothing to tell.
[[nodiscard]] std::string in_words(const TableChange& change);

}  // namespace imgtool
