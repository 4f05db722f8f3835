// LVM2: a physical volume, and the logical volumes on it that can be looked into without
// device-mapper: linear and striped ones, all of whose pieces lie here.
#pragma once

#include "formats/filesystems/filesystem.hpp"
#include "io/source.hpp"

namespace formats::filesystems {

// A part of a logical volume, spread over one or more stripes. In bytes.
struct VolumeSegment {
  io::ByteRange range;                 // of the volume
  std::vector<std::uint64_t> stripes;  // where each begins in the container
  std::uint64_t stripe_size = 0;       // of one stripe, before the next one's turn
};

struct LogicalVolume {
  std::string name;  // "vg/root"; raw bytes: escape before printing
  std::uint64_t size = 0;
  std::vector<VolumeSegment> segments;  // ascending, without gaps
  // Why it cannot be looked into; then there are no segments.
  std::string kept_because;
};

struct PhysicalVolume {
  FileSystem member;                   // free: what belongs to no logical volume
  std::vector<LogicalVolume> volumes;  // the ones that users see; none when it is kept whole
};

[[nodiscard]] std::optional<PhysicalVolume> read_physical_volume(DiskView& container);

// The same without the volumes.
[[nodiscard]] std::optional<FileSystem> probe_lvm(DiskView& container);

inline constexpr std::string_view physical_volume_type = "LVM2_member";

// Where `range` of a logical volume lies, in pieces, in the order of the volume.
struct VolumePiece {
  std::uint64_t volume_offset = 0;
  io::ByteRange range;  // of the container
};
[[nodiscard]] std::vector<VolumePiece> pieces_of(const LogicalVolume& volume, io::ByteRange range);

// The same bytes of the container in few ranges, in no order: the parts of a stripe that follow one
// another are one.
[[nodiscard]] std::vector<io::ByteRange> places_of(const LogicalVolume& volume,
                                                   io::ByteRange range);

// The content of a logical volume.
class VolumeSource final : public io::Source {
 public:
  // `source` shows the disk that holds the container, which begins at `begin`. Both `volume` and
  // `source` outlive it.
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
