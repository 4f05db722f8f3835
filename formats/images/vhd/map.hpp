// Where the bytes of a VHD image are: one after another, or in blocks with a bitmap before each.
#pragma once

#include <memory>
#include <vector>

#include "formats/images/block_check.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/table_pages.hpp"
#include "formats/images/vhd/footer.hpp"
#include "io/file.hpp"

namespace formats::vhd {

// A fixed image: the disk is the start of the file.
class FixedMap final : public BlockMap {
 public:
  explicit FixedMap(std::uint64_t guest_size) : guest_size_(guest_size) {}

  [[nodiscard]] std::uint64_t guest_size() const override { return guest_size_; }
  [[nodiscard]] std::uint64_t block_size() const override { return 1; }
  [[nodiscard]] BlockRun run_at(std::uint64_t guest, std::uint64_t most) override;

 private:
  std::uint64_t guest_size_;
};

// A dynamic image. Sectors whose bit is clear are absent, whatever is stored for them.
class DynamicMap final : public EntryMap {
 public:
  // `file` outlives the map. Reads the whole table, to refuse blocks that lie in one place, in the
  // headers, or past the end. Throws Error.
  DynamicMap(const io::File& file, const Layout& layout, BlockCheck* check = nullptr);

  [[nodiscard]] BlockRun run_at(std::uint64_t guest, std::uint64_t most) override;

 private:
  enum class Bits : std::uint8_t { unknown, all_set, some_clear };

  [[nodiscard]] StoredBlock block_at(std::uint64_t index) override;
  [[nodiscard]] std::uint32_t entry(std::uint64_t index);
  void check_blocks(const Layout& layout, BlockCheck* check);
  void read_bitmap(std::uint64_t index);
  [[nodiscard]] bool all_set(std::uint64_t index);
  [[nodiscard]] bool is_set(std::uint64_t sector_of_block) const;

  TablePages pages_;
  Header header_;
  std::vector<Bits> bits_;         // of each block
  std::vector<std::byte> bitmap_;  // of the block that was looked at last
  std::uint64_t bitmap_of_ = 0;
};

// Throws Error where footer or header are damaged. A parent is not looked at.
void check(const io::File& file, BlockCheck& check);

// Of a differencing image, what is absent is its parent's.
[[nodiscard]] std::unique_ptr<BlockMap> open_map(const io::File& file);

}  // namespace formats::vhd
