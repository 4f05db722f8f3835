// A file allocation table: for each cluster, whether it is free, and which one follows it in its
// file.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/fat/boot_sector.hpp"

namespace formats::filesystems::fat {

// What an entry says. Its numbers are 28 bits wide at most.
struct Entry {
  std::uint32_t value = 0;
  Width width = Width::fat12;

  [[nodiscard]] bool free() const { return value == 0; }
  // A cluster follows; the number may be of none that exists.
  [[nodiscard]] bool has_next() const { return value != 0 && value < bad(); }
  // A bad cluster, or the last one of a file.
  [[nodiscard]] std::uint32_t bad() const {
    return width == Width::fat12 ? 0xff7 : width == Width::fat16 ? 0xfff7 : 0x0ffffff7;
  }
};

class Table {
 public:
  // Entries of one piece; even, so that no FAT12 entry is cut.
  static constexpr std::uint32_t piece = 1u << 18;

  // Table `number` of the file system in `volume`, which must hold all of it.
  Table(const DiskView& volume, const BootSector& boot, std::uint32_t number);

  // All entries, the two before the first cluster's too.
  [[nodiscard]] std::uint32_t size() const { return entries_; }

  // The values of `count` <= piece entries from `first` on, which is a multiple of piece.
  void read(std::uint32_t first, std::uint32_t count, std::vector<std::uint32_t>& values);

  // Entry `number` < size(). Cheap for neighbours.
  [[nodiscard]] Entry at(std::uint32_t number);

 private:
  DiskView view_;
  Width width_;
  std::uint32_t entries_;
};

}  // namespace formats::filesystems::fat
