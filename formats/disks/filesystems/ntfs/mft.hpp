// The MFT, and the attributes of files in it, whose lists of clusters may be spread over several
// records. Throws Doubt for what cannot be right.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/ntfs/boot_sector.hpp"
#include "formats/disks/filesystems/ntfs/record.hpp"
#include "formats/disks/filesystems/ntfs/runs.hpp"

namespace formats::filesystems::ntfs {

// The content of an attribute that is not resident.
class Stream {
 public:
  Stream(DiskView& volume, const Geometry& geometry) : volume_(&volume), geometry_(&geometry) {}

  // Holes are a doubt: what is read here never has any.
  void append(const std::vector<Run>& runs);

  // `length` bytes at `offset` of the clusters, whatever size() is.
  [[nodiscard]] std::vector<std::byte> read(std::uint64_t offset, std::size_t length);

  [[nodiscard]] std::uint64_t clusters() const { return clusters_; }
  // Bytes of the clusters that are known.
  [[nodiscard]] std::uint64_t capacity() const { return clusters_ * geometry_->cluster_size; }
  // Where the first `length` bytes of it lie in the volume.
  [[nodiscard]] std::vector<io::ByteRange> places(std::uint64_t length) const;

  std::uint64_t size = 0;         // bytes; at most capacity() once it is complete
  std::uint64_t initialized = 0;  // at most size; bytes behind read as zeros

 private:
  struct Piece {
    std::uint64_t offset;  // in the stream, in bytes
    io::ByteRange place;   // in the volume
  };

  DiskView* volume_;
  const Geometry* geometry_;
  std::uint64_t clusters_ = 0;
  std::vector<Piece> pieces_;
};

class Mft {
 public:
  // Reads record 0, which says where the others are. Both outlive it.
  Mft(DiskView& volume, const Geometry& geometry);

  [[nodiscard]] Record record(std::uint64_t number);

  // The unnamed data of a system file, complete. Never resident.
  [[nodiscard]] Stream data_of(std::uint64_t number);

  [[nodiscard]] Stream& data() { return data_; }
  [[nodiscard]] const Geometry& geometry() const { return geometry_; }

 private:
  // Where a piece of an attribute is told.
  struct Reference {
    std::uint64_t record;
    std::uint16_t sequence;
    Vcn lowest;
  };
  [[nodiscard]] std::vector<Reference> data_references(const Record& base, const Attribute& list);
  void append_pieces(const Record& base, Stream& stream);

  DiskView& volume_;
  const Geometry& geometry_;
  Stream data_;
};

}  // namespace formats::filesystems::ntfs
