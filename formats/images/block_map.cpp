#include "formats/images/block_map.hpp"

#include <algorithm>
#include <cassert>

#include "formats/images/inflate.hpp"

namespace formats {
namespace {

// A run may end before its kind does: who asks again from a place inside a long one, since the file
// has a hole there, shall not walk through all of it each time.
constexpr unsigned most_entries_in_run = 1024;

// Whether the next block, as it is stored, goes on where `run` ends in the file.
bool goes_on(const BlockRun& run, const StoredBlock& next) {
  if (run.kind != next.kind) return false;
  if (run.kind == BlockKind::plain) return run.host + run.length == next.host;
  return run.kind != BlockKind::packed;
}

}  // namespace

io::ByteRange BlockMap::packed_block(std::uint64_t guest) const {
  return {guest - guest % block_size(), block_size()};
}

bool BlockMap::unpack(std::uint64_t /*guest*/, std::span<const std::byte> stream,
                      std::span<std::byte> block) const {
  return inflate_block(stream, block);
}

std::uint64_t EntryMap::content_of(std::uint64_t index) const {
  if (index >= block_count()) return 0;
  return std::min(block_size_, guest_size_ - index * block_size_);
}

BlockRun EntryMap::run_at(std::uint64_t guest, std::uint64_t most) {
  assert(guest < guest_size_ && most > 0);
  most = std::min(most, guest_size_ - guest);
  std::uint64_t index = guest / block_size_;
  const std::uint64_t inside = guest % block_size_;
  StoredBlock block = block_at(index);
  BlockRun run;
  run.kind = block.kind;
  run.guest = guest;
  run.length = block.alike * block_size_ - inside;
  run.host = block.kind == BlockKind::plain ? block.host + inside : block.host;
  run.stored_bytes = block.stored_bytes;
  for (unsigned i = 1; i < most_entries_in_run && run.length < most; ++i) {
    index += block.alike;
    block = block_at(index);
    if (!goes_on(run, block)) break;
    run.length += block.alike * block_size_;
  }
  run.length = std::min(run.length, most);
  return run;
}

}  // namespace formats
