// Where the blocks of a VHDX image are: one table of words, with the log's changes over all of it.
#pragma once

#include <memory>
#include <vector>

#include "formats/images/block_check.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/block_owners.hpp"
#include "formats/images/table_pages.hpp"
#include "formats/images/vhdx/header.hpp"
#include "formats/images/vhdx/log.hpp"
#include "io/file.hpp"

namespace formats::vhdx {

class VhdxMap final : public EntryMap {
 public:
  struct Layout {
    Header header;
    Patches patches;
    Regions regions;
    Metadata metadata;
    bool may_be_cut = false;  // the block that lies last in the file
  };

  // `file` outlives the map. Reads the whole table, to refuse blocks that lie in one place, in what
  // else the file has, or past the end. Throws Error.
  VhdxMap(const io::File& file, Layout layout, BlockCheck* check = nullptr);

  [[nodiscard]] BlockRun run_at(std::uint64_t guest, std::uint64_t most) override;

 private:
  [[nodiscard]] StoredBlock block_at(std::uint64_t index) override;
  [[nodiscard]] std::uint64_t entry_place(std::uint64_t index) const;
  [[nodiscard]] std::uint64_t entry(std::uint64_t index);
  [[nodiscard]] std::uint64_t bitmap_entry_place(std::uint64_t chunk) const;
  [[nodiscard]] std::uint64_t bitmap_of(std::uint64_t chunk);
  [[nodiscard]] bool is_partial(std::uint64_t index);
  [[nodiscard]] bool has_sector(std::uint64_t guest);
  void clip_to_sectors(BlockRun& run);
  void clip_to_own(BlockRun& run);
  void check_blocks(BlockCheck* check);
  [[nodiscard]] bool check_entry(std::uint64_t word, std::uint64_t index, BlockCheck* check) const;
  [[nodiscard]] bool note_bitmap(std::uint64_t index, BlockCheck* check, BlockOwners& owners);

  Layout layout_;
  std::uint64_t stored_size_;  // of the file as it is
  TablePages pages_;
  std::vector<std::uint64_t> bitmaps_;  // of sectors, where each chunk's lies; 0: none is needed
};

// Throws Error where headers, regions, metadata or log are damaged. A parent is not looked at.
void check(const io::File& file, BlockCheck& check);

// Of a differencing image, what is absent is its parent's.
[[nodiscard]] std::unique_ptr<BlockMap> open_map(const io::File& file);

}  // namespace formats::vhdx
