// A file in a file system as a disk of its own: a swap file, a disk image.
#pragma once

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/files.hpp"
#include "io/source.hpp"

namespace formats {

class FileSource final : public io::Source {
 public:
  // `volume` outlives it. Nothing of the file may be coded; see is_plain().
  FileSource(DiskView& volume, filesystems::FileMap map) : volume_(volume), map_(std::move(map)) {}

  [[nodiscard]] static bool is_plain(const filesystems::FileMap& map);

  [[nodiscard]] const std::string& name() const override { return volume_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return map_.size; }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  // Where these bytes of the file lie in the volume; holes lie nowhere.
  [[nodiscard]] std::vector<io::ByteRange> places_of(io::ByteRange range) const;

 private:
  using Pieces = std::vector<filesystems::FilePiece>;
  // The first piece that does not end in front of `offset`.
  [[nodiscard]] Pieces::const_iterator piece_at(std::uint64_t offset) const;

  DiskView& volume_;
  filesystems::FileMap map_;
};

}  // namespace formats
