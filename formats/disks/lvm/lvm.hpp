// LVM2: a physical volume, and the logical volumes on it that can be looked into without
// device-mapper: linear and striped ones, all of whose pieces lie here, and by thin_pool.hpp thin
// ones. Memory: 128 MiB for the metadata's text, whatever it says (see metadata.hpp); time: the
// text once.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"
#include "io/source.hpp"

namespace formats::filesystems {

// A physical volume. Free is what belongs to no logical volume; those stand in `volumes`.
[[nodiscard]] std::optional<FileSystem> probe_lvm(DiskView& view,
                                                  MapCheck check = MapCheck::with_files);

inline constexpr std::string_view physical_volume_type = "LVM2_member";

// Where `range` of a logical volume lies, in pieces, in the order of the volume.
struct VolumePiece {
  std::uint64_t volume_offset = 0;
  io::ByteRange range;  // of the physical volume
};
[[nodiscard]] std::vector<VolumePiece> pieces_of(const LogicalVolume& volume, io::ByteRange range);

// The same bytes of the physical volume in few ranges, in no order: the parts of a stripe that
// follow one another are one.
[[nodiscard]] std::vector<io::ByteRange> places_of(const LogicalVolume& volume,
                                                   io::ByteRange range);

// The content of a logical volume.
class VolumeSource final : public io::Source {
 public:
  // `source` shows the disk that holds the physical volume, which begins at `begin`. Both `volume`
  // and `source` outlive it.
  VolumeSource(io::Source& source, std::uint64_t begin, const LogicalVolume& volume)
      : source_(source), begin_(begin), volume_(volume) {}

  [[nodiscard]] const std::string& name() const override { return source_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return volume_.size; }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return {io::range_between(offset, volume_.size), io::ExtentKind::data};
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

 private:
  io::Source& source_;
  std::uint64_t begin_;
  const LogicalVolume& volume_;
};

}  // namespace formats::filesystems
