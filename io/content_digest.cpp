#include "io/content_digest.hpp"

#include <cassert>
#include <functional>

namespace io {

ContentDigest::ContentDigest(Ring& ring, WorkerPool& worker, DigestAlgorithm algorithm)
    : ring_(ring), worker_(worker), digest_(algorithm), turns_(ring) {}

Task<bool> ContentDigest::take_turn(std::uint64_t offset) {
  while (position_ != offset && !abandoned_) co_await turns_.wait();
  co_return !abandoned_;
}

void ContentDigest::end_turn(std::uint64_t next_offset) {
  position_ = next_offset;
  turns_.wake_all();
}

Task<> ContentDigest::update(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (!co_await take_turn(offset)) co_return;
  std::function<void()> work = [this, bytes] { digest_.update(bytes); };
  co_await worker_.run(ring_, std::move(work));
  end_turn(offset + bytes.size());
}

Task<> ContentDigest::update_zeros(ByteRange range) {
  if (!co_await take_turn(range.offset)) co_return;
  std::function<void()> work = [this, range] { digest_.update_zeros(range.length); };
  co_await worker_.run(ring_, std::move(work));
  end_turn(range.end());
}

void ContentDigest::abandon() {
  abandoned_ = true;
  turns_.wake_all();
}

std::string ContentDigest::hex() {
  assert(!abandoned_);
  return digest_.hex();
}

}  // namespace io
