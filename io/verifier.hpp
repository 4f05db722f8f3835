// Reads media back and tells where they differ from an image.
//
// What the image contains is known by digest from the write pass (io/chunk_ledger.hpp), or
// learned here by reading the image once, however many media there are. All media are read at
// the same time, each at its own pace. Belongs to the ring's thread.
#pragma once

#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "io/chunk_ledger.hpp"
#include "io/error.hpp"
#include "io/observer.hpp"
#include "io/rate_limiter.hpp"
#include "io/source.hpp"
#include "io/task_group.hpp"

namespace io {

struct VerifyOptions {
  unsigned lanes = 16;                 // over all media
  std::optional<unsigned> sample;      // read one chunk in so many, and both ends
  std::uint64_t bytes_per_second = 0;  // over all media; 0: as fast as it goes
};

// One medium to verify, and what came of it.
struct Medium {
  Source* source = nullptr;
  std::size_t index = 0;                // for the observer
  std::vector<ByteRange> bad_chunks{};  // ascending once Verifier::run is over
  std::optional<Error> read_error{};    // the first; the chunks it hit are bad
};

class Verifier {
 public:
  // `image` may be null (a stream that is gone): then every chunk to be verified is in the
  // ledger, and what is not there was to be skipped. All references outlive the verifier.
  Verifier(Ring& ring, ChunkLedger& ledger, Source* image, const VerifyOptions& options,
           CopyObserver& observer, const StopFlag& stop);

  // Compares `ranges`, ascending and beginning on the ledger's grid. Returns early when `stop`
  // is set. Throws the image's errors; those of media are chunks gone bad.
  void run(std::vector<Medium>& media, const std::vector<ByteRange>& ranges);

  // The exact differences within the bad chunks of `medium`, at most `limit`; whole chunks
  // where there is no image any more, or the medium cannot be read.
  std::vector<ByteRange> locate(Medium& medium, std::size_t limit);

 private:
  // Walks the chunks of the ranges, for one medium.
  struct Cursor {
    const std::vector<ByteRange>* ranges;
    std::size_t current = 0;
    std::uint64_t position = 0;
  };
  std::optional<ByteRange> next_chunk(Cursor& cursor) const;
  [[nodiscard]] bool in_sample(ByteRange chunk, const std::vector<ByteRange>& ranges) const;

  Task<> verify_lane(Medium& medium, Cursor& cursor, Buffer buffer);
  Task<> learn(ByteRange chunk, Buffer buffer);
  Task<bool> is_as_recorded(Medium& medium, ByteRange chunk, Buffer buffer);
  Task<> locate_in_chunk(Medium& medium, ByteRange chunk, std::vector<ByteRange>& found);

  Ring& ring_;
  ChunkLedger& ledger_;
  Source* image_;
  VerifyOptions options_;
  CopyObserver& observer_;
  const StopFlag& stop_;
  RateLimiter rate_;
  TaskGroup tasks_;
  WaitList learners_;
  std::unordered_set<std::uint64_t> being_learned_;
  bool abandoned_ = false;
};

}  // namespace io
