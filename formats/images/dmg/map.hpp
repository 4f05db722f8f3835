// Where the chunks of an Apple disk image are, for BlockImage.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "formats/images/block_check.hpp"
#include "formats/images/block_facts.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/dmg/layout.hpp"
#include "io/file.hpp"

namespace formats::dmg {

class ChunkMap final : public BlockMap {
 public:
  explicit ChunkMap(Layout layout) : layout_(std::move(layout)) {}

  [[nodiscard]] std::uint64_t guest_size() const override { return layout_.virtual_size; }
  [[nodiscard]] std::uint64_t block_size() const override { return 1; }
  [[nodiscard]] BlockRun run_at(std::uint64_t guest, std::uint64_t most) override;
  [[nodiscard]] io::ByteRange packed_block(std::uint64_t guest) const override;
  [[nodiscard]] bool unpack(std::uint64_t guest, std::span<const std::byte> stream,
                            std::span<std::byte> block) const override;

 private:
  // The first chunk that ends behind `guest`; null: there is none.
  [[nodiscard]] const Chunk* chunk_at(std::uint64_t guest) const;

  Layout layout_;
};

// Throws Error.
[[nodiscard]] BlockFacts read_facts(const io::File& file);
// Throws Error where the trailer or a table is damaged.
void check(const io::File& file, BlockCheck& check);
[[nodiscard]] std::unique_ptr<BlockMap> open_map(const io::File& file);

}  // namespace formats::dmg
