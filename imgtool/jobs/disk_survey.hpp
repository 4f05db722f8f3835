// What lies on an image and on a target, at a glance: for the question before a disk is
// overwritten, and to notice an image of a disk that would go into a partition.
#pragma once

#include <string>

#include "io/devices/device_inventory.hpp"
#include "io/observer.hpp"
#include "io/source.hpp"

namespace imgtool {

enum class ContentKind : std::uint8_t {
  unknown,
  partitioned,  // a partition table with partitions
  bare,         // a file system, or another volume, without a table around it
};

struct DiskSurvey {
  ContentKind kind = ContentKind::unknown;
  std::string words;  // "GPT with 2 partitions: EFI, root"; names from the disk: escape them
};

// Looks at the beginning of `disk` and, where `deep`, for a file system without a table, which
// reads its metadata. Errors of reading end in ContentKind::unknown.
[[nodiscard]] DiskSurvey survey(io::Ring& ring, io::Source& disk, bool deep);

// What tells this disk from another of the same size: "GPT d62f8264-...", "MBR 0x1b2c3d4e", or a
// bare file system's "ext4 UUID". Empty where there is no such thing, or it cannot be read.
[[nodiscard]] std::string content_identity(io::Ring& ring, io::Source& disk,
                                           const io::StopFlag& stop);

// Why the image does not go with the device: a whole disk's onto a partition, or the reverse; "".
[[nodiscard]] std::string misplaced(const DiskSurvey& image, const io::BlockDevice& device);

}  // namespace imgtool
