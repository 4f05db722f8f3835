// Where the grains of a sparse VMDK image are: a directory of tables of sectors.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "formats/images/block_check.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/block_owners.hpp"
#include "formats/images/table_pages.hpp"
#include "formats/images/vmdk/header.hpp"
#include "io/file.hpp"

namespace formats::vmdk {

class SparseMap final : public EntryMap {
 public:
  // `file` outlives the map. Reads the directory, to refuse tables that lie in one place, in the
  // header, or past the end; a table is read, and its grains are checked, when one of them is asked
  // for. Throws Error.
  SparseMap(const io::File& file, const Header& header, BlockCheck* check = nullptr);

  // Looks at all tables, for the check that it was made with.
  void check_all();

  // A grain is a marker (its sector on the disk, and how long it is) and a zlib stream. The disk's
  // last one may end with the disk.
  [[nodiscard]] bool unpack(std::uint64_t guest, std::span<const std::byte> stream,
                            std::span<std::byte> block) const override;

 private:
  [[nodiscard]] StoredBlock block_at(std::uint64_t index) override;
  [[nodiscard]] bool is_stored(std::uint32_t entry) const;
  // Of the entry `in_table` of `table_`.
  [[nodiscard]] std::uint32_t packed_bytes(std::uint64_t in_table) const;
  void read_directory();
  // Fills `table_`. False: none of its grains is stored.
  [[nodiscard]] bool load_table(std::uint64_t number);
  void check_table(std::uint64_t number);
  void check_grain(std::uint64_t index, std::uint64_t offset, std::uint64_t entry_at);

  TablePages pages_;
  Header header_;
  BlockCheck* check_;                    // hears of faults, unless it is null
  std::vector<std::uint64_t> tables_;    // where each is, in bytes; 0: it has none
  std::vector<io::ByteRange> metadata_;  // ascending, apart
  std::vector<bool> checked_;            // tables
  std::vector<std::uint32_t> table_;     // the one that was asked for last
  std::optional<std::uint64_t> table_number_;
  ClusterOwners owners_;  // where grains begin
};

// Throws Error where the header or the directory is damaged, ErrorKind::refused where a part of the
// content is in other files. A parent is not looked at.
void check(const io::File& file, BlockCheck& check);

// What is absent is the parent's, if there is one. Throws ErrorKind::refused where a part of the
// content is in other files.
[[nodiscard]] std::unique_ptr<BlockMap> open_map(const io::File& file);

// Of a part that a descriptor names as `extent`, of type sparse, vmfssparse or sesparse. Throws
// Error, also where the two do not fit together.
[[nodiscard]] std::unique_ptr<BlockMap> open_extent_map(const io::File& file,
                                                        const ExtentLine& extent);

}  // namespace formats::vmdk
