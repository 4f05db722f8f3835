// The reference counts that a qcow2 image stores for its own clusters.
#pragma once

#include <optional>
#include <vector>

#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/tables.hpp"

namespace formats::qcow2 {

// Entry `index` of a refcount block of `bits` wide entries (1 to 64).
[[nodiscard]] std::uint64_t refcount_in(std::span<const std::byte> block, std::uint64_t index,
                                        std::uint32_t bits);

// The reverse; `value` fits.
void set_refcount_in(std::span<std::byte> block, std::uint64_t index, std::uint32_t bits,
                     std::uint64_t value);

class Refcounts {
 public:
  // Reads the refcount table; `tables` and `header` outlive this. Throws Error.
  Refcounts(TableReader& tables, const Header& header);

  // The table's words, unchecked; the offset of a block is in bits 9 to 63.
  [[nodiscard]] const std::vector<std::uint64_t>& table() const { return table_; }

  // How many clusters one block counts.
  [[nodiscard]] std::uint64_t clusters_per_block() const { return clusters_per_block_; }

  // The count of a host cluster; 0 where no block counts it, empty where the block's place is not
  // that of a cluster.
  [[nodiscard]] std::optional<std::uint64_t> of(std::uint64_t cluster);

 private:
  enum class Place : std::uint8_t { unknown, hole, data };

  [[nodiscard]] bool is_hole(std::uint64_t block);

  TableReader& tables_;
  const Header& header_;
  std::uint64_t clusters_per_block_;
  std::vector<std::uint64_t> table_;
  std::vector<Place> places_;  // of the blocks
};

// qemu's guess at whether space was set aside that was never written to, so that asking the file
// system for holes is worth the effort: more clusters are counted than the file has on disk.
bool looks_preallocated(const io::File& file, TableReader& tables, const Header& header);

}  // namespace formats::qcow2
