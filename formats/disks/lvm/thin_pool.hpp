// A thin pool of device-mapper: which of its chunks no thin volume uses, and where the chunks of
// one thin volume lie.
//
// A chunk is free when the pool's space map counts it as free and no device maps it; where the two
// disagree anywhere all of the pool is doubtful. A chunk that more than one device maps, or one
// device twice, is shared: what is free in one of them may be in use in another.
//
// Memory: 3 bits for each chunk of the pool, of which there are at most 256 Mi (96 MiB), and what
// ThinMetadata takes; a map has at most 4 Mi runs (96 MiB). Time: each block of metadata once, and
// for a map the blocks of its device's tree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/lvm/logical_volume.hpp"
#include "formats/disks/lvm/lvm.hpp"
#include "formats/disks/lvm/thin_metadata.hpp"
#include "io/source.hpp"

namespace formats::filesystems {

inline constexpr std::string_view thin_pool_type = "thin-pool";  // as LVM spells it

// Chunks of a thin volume that follow one another in the pool, too. In bytes.
struct ThinRun {
  std::uint64_t offset = 0;  // in the thin volume
  std::uint64_t place = 0;   // in the pool's data volume
  // Its lowest bit tells that no other device uses these chunks; chunks have whole sectors.
  std::uint64_t length_and_own = 0;

  [[nodiscard]] std::uint64_t length() const noexcept { return length_and_own & ~std::uint64_t{1}; }
  [[nodiscard]] bool own() const noexcept { return (length_and_own & 1) != 0; }
  [[nodiscard]] std::uint64_t end() const noexcept { return offset + length(); }
};

// Where a thin volume's chunks lie: ascending, disjoint. What no run covers reads as zeros.
class ThinMap {
 public:
  explicit ThinMap(std::vector<ThinRun> runs) : runs_(std::move(runs)) {}

  [[nodiscard]] const std::vector<ThinRun>& runs() const noexcept { return runs_; }
  // How many bytes of the thin volume lie somewhere.
  [[nodiscard]] std::uint64_t size() const;

  // Where `range` of the thin volume lies, in the order of the volume: ranges of the pool's data
  // volume. `own_only`: what no other device uses.
  [[nodiscard]] std::vector<VolumePiece> pieces_of(io::ByteRange range, bool own_only) const;

 private:
  std::vector<ThinRun> runs_;
};

class ThinPool {
 public:
  // `metadata` shows the pool's metadata volume, and outlives this. Throws Doubt.
  ThinPool(DiskView& metadata, const ThinPoolParts& parts);

  // In bytes of the data volume: ascending, disjoint, not touching. Of more than 4 Mi ranges the
  // shortest are left out.
  [[nodiscard]] std::vector<io::ByteRange> free() const;

  // The map of a thin volume of `size` bytes. Throws Doubt. Of `budget`, how many blocks of
  // metadata may still be read, it takes what it reads.
  [[nodiscard]] ThinMap map_of(std::uint64_t device, std::uint64_t size, std::uint64_t& budget);

 private:
  struct Device {
    std::uint64_t number = 0;
    std::uint64_t root = 0;
    std::uint64_t chunks = 0;  // that its details say are mapped
  };

  void check_settings(const ThinPoolParts& parts) const;
  void read_details();
  void read_mappings();
  void count(std::uint64_t chunk, bool shared);
  void compare_with_space_map();
  [[nodiscard]] bool is_own(std::uint64_t chunk) const;

  lvm::ThinMetadata metadata_;
  std::uint64_t chunk_size_;
  std::vector<Device> devices_;  // ascending
  lvm::SmallCounts uses_;        // of each chunk
  std::vector<bool> shared_;     // reached through a block that several devices have
};

// The content of a thin volume.
class ThinSource final : public io::Source {
 public:
  // `data` shows the pool's data volume. Both outlive it.
  ThinSource(io::Source& data, const ThinMap& map, std::uint64_t size)
      : data_(data), map_(map), size_(size) {}

  [[nodiscard]] const std::string& name() const override { return data_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

 private:
  io::Source& data_;
  const ThinMap& map_;
  std::uint64_t size_;
};

}  // namespace formats::filesystems
