// A small disk in memory for tests of partition tables: bytes that can be patched and read.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/disk_view.hpp"
#include "formats/disks/partitions/fit.hpp"
#include "io/memory_source.hpp"
#include "io/ring.hpp"

namespace formats::partitions {

class TableDisk {
 public:
  explicit TableDisk(std::uint64_t size) : bytes_(size) {
    io::RingOptions options;
    options.engine = io::Engine::threads;
    ring_ = io::make_ring(options).ring;
  }

  std::vector<std::byte>& bytes() { return bytes_; }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  void put(const std::vector<io::Patch>& patches) {
    for (const io::Patch& patch : patches) {
      std::copy(patch.bytes.begin(), patch.bytes.end(),
                bytes_.begin() + static_cast<std::ptrdiff_t>(patch.offset));
    }
  }
  template <class T>
  void store(std::size_t offset, T value) {
    store_little_endian(std::span(bytes_), offset, value);
  }
  template <class T>
  [[nodiscard]] T load(std::size_t offset) const {
    return load_little_endian<T>(bytes_, offset);
  }

  // Puts an entry into the MBR or EBR at `sector_offset`, and the signature.
  void mbr_entry(std::size_t sector_offset, unsigned slot, std::uint8_t type, std::uint32_t first,
                 std::uint32_t count, std::uint8_t status = 0) {
    const std::size_t at = sector_offset + 446 + std::size_t{slot} * 16;
    bytes_[at] = static_cast<std::byte>(status);
    bytes_[at + 4] = static_cast<std::byte>(type);
    store(at + 8, first);
    store(at + 12, count);
    store<std::uint16_t>(sector_offset + 510, 0xaa55);
  }

  // The view and what it looks at last as long as the disk, or until the next call.
  DiskView& view() {
    io::AlignedMemory memory(std::max<std::size_t>(bytes_.size(), 1));
    std::copy(bytes_.begin(), bytes_.end(), memory.bytes().begin());
    source_ = std::make_unique<io::MemorySource>("disk", std::move(memory), bytes_.size());
    view_ = std::make_unique<DiskView>(*ring_, *source_);
    return *view_;
  }
  Layout layout(const LayoutOptions& options = {}) { return read_layout(view(), options); }
  // Fits the table to `size` bytes, and gives the disk that comes of it.
  TableDisk fitted(std::uint64_t size, bool grow_last, Fit& fit) {
    const Layout before = layout();
    fit = fit_to_disk(view(), before, {size, grow_last});
    TableDisk disk(size);
    std::copy_n(bytes_.begin(), std::min<std::size_t>(size, bytes_.size()), disk.bytes_.begin());
    disk.put(fit.patches);
    return disk;
  }

 private:
  std::vector<std::byte> bytes_;
  std::unique_ptr<io::Ring> ring_;
  std::unique_ptr<io::MemorySource> source_;
  std::unique_ptr<DiskView> view_;
};

inline Guid guid_of(unsigned value) {
  Guid guid;
  guid.bytes.fill(static_cast<std::byte>(value));
  return guid;
}

// A disk with a GPT: 128 entries, a protective MBR, and partitions {first, last} by block.
inline TableDisk gpt_disk(std::uint64_t size, std::uint64_t sector_size,
                          const std::vector<std::pair<std::uint64_t, std::uint64_t>>& partitions) {
  Gpt table;
  table.sector_size = sector_size;
  table.disk_id = guid_of(0xd1);
  table.entry_count = 128;
  table.entry_size = 128;
  table.array.resize(std::size_t{128} * 128);
  table.header.resize(92);
  const std::string_view signature = "EFI PART";
  std::transform(signature.begin(), signature.end(), table.header.begin(),
                 [](char c) { return static_cast<std::byte>(c); });
  store_little_endian<std::uint32_t>(table.header, 8, 0x10000);
  store_little_endian<std::uint32_t>(table.header, 12, 92);
  table.first_usable = 2 + table.array_blocks();
  for (std::uint32_t index = 0; index < partitions.size(); ++index) {
    std::fill_n(table.array.begin() + index * 128, 16, std::byte{0x77});
    std::fill_n(table.array.begin() + index * 128 + 16, 16, static_cast<std::byte>(index + 1));
    store_little_endian<std::uint16_t>(table.array, index * 128 + 56, 'p');
    store_little_endian<std::uint16_t>(table.array, index * 128 + 58,
                                       static_cast<std::uint16_t>('1' + index));
    table.set_range(index, partitions[index].first, partitions[index].second);
  }
  table.backup = size / sector_size - 1;  // not fit(): some tests want what does not fit
  table.last_usable = table.backup - table.array_blocks() - 1;
  TableDisk disk(size);
  disk.put(table.primary_patches());
  disk.put(table.backup_patches());
  disk.mbr_entry(0, 0, mbr_type_gpt, 1, static_cast<std::uint32_t>(size / sector_size - 1));
  return disk;
}

}  // namespace formats::partitions
