// The image that is to be made smaller, as the host sees it before the appliance is launched: it
// is opened for reading only, known to be at rest, and its partitions and maps are read.
#pragma once

#include <string>
#include <vector>

#include "formats/disks/free_space.hpp"
#include "formats/disks/partitions/layout.hpp"
#include "formats/disks/partitions/relayout_boot_code.hpp"
#include "imgtool/guest/shrink_options.hpp"
#include "imgtool/guest/volume_plan.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "io/ring.hpp"

namespace imgtool::guest {

class SourceDisk {
 public:
  // Throws io::Error, ErrorKind::refused with the remedy for: a source in use, snapshots in it,
  // formats that QEMU cannot read; file systems that are damaged or hibernated, unless their
  // partition is kept. `ring` and `options` outlive it.
  SourceDisk(io::Ring& ring, const ShrinkOptions& options);

  [[nodiscard]] io::Source& source() { return source_.source(); }
  [[nodiscard]] const std::string& path() const { return options_.source; }
  [[nodiscard]] std::string absolute_path() const;
  [[nodiscard]] formats::Format format() const { return source_.image()->format(); }
  // See formats::Image.
  [[nodiscard]] std::uint64_t cluster_size() const { return source_.cluster_size(); }
  [[nodiscard]] std::uint64_t size() const { return source_.image()->size().value(); }
  [[nodiscard]] const formats::partitions::Layout& layout() const { return free_.layout; }
  [[nodiscard]] const formats::FreeSpace& free_space() const { return free_; }
  [[nodiscard]] std::vector<std::string> paths() const { return source_.paths(); }

  // One for each partition, or one for the whole disk.
  [[nodiscard]] std::vector<VolumePlan> volumes() const;
  // Windows starts from this MBR: its partitions are found by their offsets.
  [[nodiscard]] bool windows_mbr() const;
  // Its journal has to be replayed before it can be told what is in it.
  [[nodiscard]] bool needs_replay(const formats::VolumeId& id) const;
  [[nodiscard]] bool is_hibernated(const formats::VolumeId& id) const;
  // What is in use of a volume, as far as the host can tell.
  [[nodiscard]] std::optional<std::uint64_t> used_in(const formats::VolumeId& id) const;
  // Bytes in use at or behind `offset` of the volume, at most.
  [[nodiscard]] std::uint64_t used_behind(const VolumePlan& volume, std::uint64_t offset) const;

  void check_unchanged() const { source_.check_unchanged(); }

 private:
  void refuse_if_used() const;
  void refuse_other_formats() const;
  void refuse_snapshots() const;
  void refuse_unknown_partitions() const;
  void keep_what_boots(VolumePlan& volume, io::ByteRange place) const;

  io::Ring& ring_;
  const ShrinkOptions& options_;
  ImageSource source_;
  formats::partitions::BootCode boot_code_;
  formats::FreeSpace free_;
};

}  // namespace imgtool::guest
