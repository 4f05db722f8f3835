// All attributes of one file of NTFS, those in other records, too.
#pragma once

#include <deque>
#include <string_view>
#include <vector>

#include "formats/disks/filesystems/ntfs/mft.hpp"

namespace formats::filesystems::ntfs {

// Hostile lists name thousands of records for each file: no more are read than there can be in
// honest ones.
struct RecordBudget {
  std::uint64_t left = 0;
};

class FileAttributes {
 public:
  // Reads record `number`, which is a file's first, and those that it names. Throws Doubt.
  FileAttributes(DiskView& volume, Mft& mft, std::uint64_t number, RecordBudget& budget);

  [[nodiscard]] const Record& base() const { return records_.front(); }
  [[nodiscard]] const std::vector<const Attribute*>& all() const { return all_; }

  // The first of this type and name; null: there is none.
  [[nodiscard]] const Attribute* find(AttributeType type, std::u16string_view name = {}) const;
  // The clusters of an attribute that is not resident, put together from its pieces. Throws Doubt
  // where one is missing.
  [[nodiscard]] std::vector<Run> runs_of(AttributeType type, std::u16string_view name = {}) const;
  // Bytes of all clusters that the file has, in all its attributes.
  [[nodiscard]] std::uint64_t stored() const;

 private:
  void read_list(DiskView& volume, Mft& mft, const Attribute& list, RecordBudget& budget);

  const Geometry& geometry_;
  std::deque<Record> records_;  // attributes point into them
  std::vector<const Attribute*> all_;
};

}  // namespace formats::filesystems::ntfs
