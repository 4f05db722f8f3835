// The digest of a whole image, while lanes read it out of order.
//
// Each lane hands in its chunk and goes on when the chunk has been hashed, on a worker thread,
// in the image's order. Belongs to the ring's thread.
#pragma once

#include <span>
#include <string>

#include "io/byte_range.hpp"
#include "io/digest.hpp"
#include "io/sequencer.hpp"
#include "io/task.hpp"
#include "io/worker_pool.hpp"

namespace io {

class ContentDigest {
 public:
  // `worker` runs one chunk at a time; both outlive the digest.
  ContentDigest(Ring& ring, WorkerPool& worker, DigestAlgorithm algorithm);

  // `bytes` are the image's at `offset`; every byte before that is handed in sooner or later.
  Task<> update(std::uint64_t offset, std::span<const std::byte> bytes);
  Task<> update_zeros(ByteRange range);

  // A chunk will never come: lanes that wait for it go on, and there will be no digest.
  void abandon() { sequencer_.abandon(); }

  // Lower-case hex, of all that was handed in.
  [[nodiscard]] std::string hex();

 private:
  Ring& ring_;
  WorkerPool& worker_;
  Digest digest_;
  Sequencer sequencer_;
};

}  // namespace io
