// Parallels disk images: a header, one table of words, and clusters. Of the two kinds the older one
// gives places in sectors, the newer one in clusters.
//
// Source: QEMU docs/interop/parallels.rst. All numbers are little-endian.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "formats/images/block_check.hpp"
#include "formats/images/block_facts.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/table_pages.hpp"
#include "io/file.hpp"

namespace formats::parallels {

inline constexpr std::uint64_t table_at = 64;

struct Header {
  bool places_in_clusters = false;  // the newer kind
  std::uint64_t cluster_size = 0;   // whole sectors, at most 256 MiB; not always a power of two
  std::uint32_t entries = 0;        // of 4 bytes, inside the file; cover the disk
  std::uint64_t virtual_size = 0;   // whole sectors
  std::uint64_t data_at = 0;        // where clusters begin
  bool in_use = false;              // it was not closed

  [[nodiscard]] std::uint64_t place_of(std::uint32_t word) const {
    return word * (places_in_clusters ? cluster_size : 512);
  }
};

[[nodiscard]] bool has_magic(std::span<const std::byte> start);
// Throws Error.
[[nodiscard]] Header read_header(const io::File& file);
[[nodiscard]] BlockFacts read_facts(const io::File& file);

class ParallelsMap final : public EntryMap {
 public:
  // `file` outlives the map. Reads the whole table, to refuse clusters that lie in one place, in
  // the header, or past the end. Throws Error.
  ParallelsMap(const io::File& file, const Header& header, BlockCheck* check = nullptr);

 private:
  [[nodiscard]] StoredBlock block_at(std::uint64_t index) override;
  [[nodiscard]] std::uint32_t entry(std::uint64_t index);

  TablePages pages_;
  Header header_;
};

// Throws Error where the header is damaged.
void check(const io::File& file, BlockCheck& check);

[[nodiscard]] std::unique_ptr<BlockMap> open_map(const io::File& file);

}  // namespace formats::parallels
