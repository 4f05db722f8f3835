// A map whose blocks have their entries in tables, which one directory names: both of words of 8
// bytes. The directory is read when the image is opened, a table when it is met.
//
// Each cluster of the file has one owner: tables are looked at when the image is opened, and blocks
// when their table is met first. So a small file cannot say that it holds any amount of content.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/images/block_check.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/block_owners.hpp"
#include "formats/images/table_pages.hpp"
#include "io/byte_range.hpp"
#include "io/file.hpp"

namespace formats {

class TableMap : public EntryMap {
 public:
  struct Shape {
    std::uint64_t guest_size = 0;
    std::uint64_t cluster_size = 0;  // of blocks, and what all places are multiples of
    io::ByteRange header;            // inside the file
    std::uint64_t directory_at = 0;
    std::uint64_t directory_bytes = 0;  // with what of it is not needed; 0: it has no more
    std::uint64_t table_bytes = 0;      // of one table; whole words, not 0
    std::endian order = std::endian::little;
  };

  // Of the directory, in bytes.
  static constexpr std::uint64_t largest_directory = 64 * io::MiB;

  // `file` outlives the map. Throws Error.
  TableMap(const io::File& file, const Shape& shape, BlockCheck* check = nullptr);

  // Looks at all tables that were not looked at yet, for the check that it was made with.
  void check_all();

 protected:
  // What a word of a table says; what is plain is a multiple of the cluster's size. Nothing is
  // checked against the file yet.
  [[nodiscard]] virtual StoredBlock parse_word(std::uint64_t word) const = 0;

 private:
  [[nodiscard]] StoredBlock block_at(std::uint64_t index) final;
  [[nodiscard]] std::uint64_t blocks_per_table() const { return shape_.table_bytes / 8; }
  [[nodiscard]] StoredBlock absent_from(std::uint64_t index) const;
  [[nodiscard]] std::uint64_t word_at(std::uint64_t place);
  void read_directory();
  [[nodiscard]] bool note_table(std::uint64_t table, std::uint64_t entry_at);
  void check_table(std::uint64_t number);
  void count(const StoredBlock& block);
  void check_block(const StoredBlock& block, std::uint64_t index, std::uint64_t entry_at);

  Shape shape_;
  TablePages pages_;
  BlockCheck* check_;  // hears of faults, unless it is null
  ClusterOwners owners_;
  std::vector<std::uint64_t> tables_;  // where each is; 0: there is none
  std::vector<bool> checked_;          // of each table
  std::uint64_t stream_bytes_ = 0;     // of all packed blocks that were met
};

}  // namespace formats
