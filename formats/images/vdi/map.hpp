// Where the blocks of a VDI image are: one table of words, block by block.
#pragma once

#include <memory>

#include "formats/images/block_check.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/table_pages.hpp"
#include "formats/images/vdi/header.hpp"
#include "io/file.hpp"

namespace formats::vdi {

class VdiMap final : public EntryMap {
 public:
  // `file` outlives the map. Reads the whole table, to refuse blocks that lie in one place, in the
  // header, or past the end. Throws Error.
  VdiMap(const io::File& file, const Header& header, BlockCheck* check = nullptr);

 private:
  [[nodiscard]] StoredBlock block_at(std::uint64_t index) override;
  [[nodiscard]] std::uint32_t entry(std::uint64_t index);
  [[nodiscard]] std::uint64_t place_of(std::uint32_t entry) const;
  void check_blocks(BlockCheck* check);

  TablePages pages_;
  Header header_;
};

// Throws ErrorKind::refused for an image over a parent, which it does not name.
// Throws Error where the header is damaged. A parent is not looked at.
void check(const io::File& file, BlockCheck& check);

[[nodiscard]] std::unique_ptr<BlockMap> open_map(const io::File& file);

}  // namespace formats::vdi
