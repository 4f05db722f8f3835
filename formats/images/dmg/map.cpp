#include "formats/images/dmg/map.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include "formats/images/dmg/unpack.hpp"

namespace formats::dmg {

const Chunk* ChunkMap::chunk_at(std::uint64_t guest) const {
  const auto found = std::upper_bound(
      layout_.chunks.begin(), layout_.chunks.end(), guest,
      [](std::uint64_t place, const Chunk& chunk) { return place < chunk.guest.end(); });
  return found == layout_.chunks.end() ? nullptr : &*found;
}

BlockRun ChunkMap::run_at(std::uint64_t guest, std::uint64_t most) {
  assert(guest < guest_size() && most > 0);
  BlockRun run;
  run.guest = guest;
  run.length = std::min(most, guest_size() - guest);
  const Chunk* const chunk = chunk_at(guest);
  if (chunk == nullptr) return run;
  if (guest < chunk->guest.offset) {
    run.length = std::min(run.length, chunk->guest.offset - guest);
    return run;
  }
  run.length = std::min(run.length, chunk->guest.end() - guest);
  if (chunk->kind == ChunkKind::zero) {
    run.kind = BlockKind::zero;
  } else if (chunk->kind == ChunkKind::raw) {
    run.kind = BlockKind::plain;
    run.host = chunk->stored.offset + (guest - chunk->guest.offset);
  } else {
    run.kind = BlockKind::packed;
    run.host = chunk->stored.offset;
    run.stored_bytes = static_cast<std::uint32_t>(chunk->stored.length);
  }
  return run;
}

io::ByteRange ChunkMap::packed_block(std::uint64_t guest) const {
  const Chunk* const chunk = chunk_at(guest);
  assert(chunk != nullptr && chunk->guest.contains(guest));
  return chunk->guest;
}

bool ChunkMap::unpack(std::uint64_t guest, std::span<const std::byte> stream,
                      std::span<std::byte> block) const {
  return dmg::unpack(chunk_at(guest)->kind, stream, block);
}

BlockFacts read_facts(const io::File& file) {
  const Layout layout = read_layout(file);
  BlockFacts facts;
  facts.virtual_size = layout.virtual_size;
  std::string packing;
  for (const ChunkKind kind : {ChunkKind::zlib, ChunkKind::bzip2, ChunkKind::xz}) {
    const auto is_kind = [kind](const Chunk& chunk) { return chunk.kind == kind; };
    if (std::none_of(layout.chunks.begin(), layout.chunks.end(), is_kind)) continue;
    if (!packing.empty()) packing += ", ";
    packing += name_of(kind);
  }
  facts.others = {{"chunks", layout.chunks.size()},
                  {"compression", packing.empty() ? std::string("none") : packing}};
  return facts;
}

void check(const io::File& file, BlockCheck& check) {
  const Layout layout = read_layout(file);
  BlockCheckResult& result = check.result();
  result.total_blocks = layout.chunks.size();
  result.image_end = file.size();
  for (const Chunk& chunk : layout.chunks) {
    if (chunk.kind == ChunkKind::zero) continue;
    ++result.allocated_blocks;
    if (chunk.kind != ChunkKind::raw) ++result.compressed_blocks;
  }
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  return std::make_unique<ChunkMap>(read_layout(file));
}

}  // namespace formats::dmg
