#include "io/content_digest.hpp"

#include <cassert>
#include <functional>

namespace io {

ContentDigest::ContentDigest(Ring& ring, WorkerPool& worker, DigestAlgorithm algorithm)
    : ring_(ring), worker_(worker), digest_(algorithm), sequencer_(ring) {}

Task<> ContentDigest::update(std::uint64_t offset, std::span<const std::byte> bytes) {
  const bool mine = co_await sequencer_.turn(offset);
  if (!mine) co_return;
  std::function<void()> work = [this, bytes] { digest_.update(bytes); };
  co_await worker_.run(ring_, std::move(work));
  sequencer_.pass(offset + bytes.size());
}

Task<> ContentDigest::update_zeros(ByteRange range) {
  const bool mine = co_await sequencer_.turn(range.offset);
  if (!mine) co_return;
  std::function<void()> work = [this, range] { digest_.update_zeros(range.length); };
  co_await worker_.run(ring_, std::move(work));
  sequencer_.pass(range.end());
}

std::string ContentDigest::hex() {
  assert(!sequencer_.abandoned());
  return digest_.hex();
}

}  // namespace io
