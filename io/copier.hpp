// The copy: lanes read chunks of a source and give each to all targets.
//
// One coroutine per lane over one ring on one thread; a chunk's life reads top to bottom in
// Copier::copy_lane. A target that fails drops out and the others go on; one that holds the
// others back finishes in a pass of its own (io/straggler_detector.hpp). On an error of the source
// no more chunks are handed out, what is under way ends, then the error is thrown.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "io/buffer_pool.hpp"
#include "io/chunk_ledger.hpp"
#include "io/content_digest.hpp"
#include "io/depth_control.hpp"
#include "io/error.hpp"
#include "io/journal.hpp"
#include "io/observer.hpp"
#include "io/plan.hpp"
#include "io/rate_limiter.hpp"
#include "io/source.hpp"
#include "io/straggler_detector.hpp"
#include "io/target.hpp"
#include "io/task_group.hpp"

namespace io {

struct CopyOptions {
  std::uint64_t chunk_size = 1 * MiB;
  unsigned lanes = 16;
  std::uint64_t bytes_per_second = 0;  // 0: as fast as it goes
  bool adapt_depth = false;            // fewer lanes on a slow target (io/depth_control.hpp)
};

// What happened to one target. It has all of the content, unless `error` says why not.
struct CopyTarget {
  Target* target = nullptr;
  std::size_t index = 0;  // for the observer
  // Where to note what is done, and how to save it; may be null. Saved after a flush only, so
  // it never promises what a pulled plug could take back. Saving must not throw.
  Journal* journal = nullptr;
  std::function<void(Journal&)> save_journal;
  std::optional<Error> error;
  std::uint64_t data_bytes = 0;  // written as data
  std::uint64_t zero_bytes = 0;  // zeroed by request

  [[nodiscard]] bool live() const noexcept { return !error.has_value(); }
};

class Copier {
 public:
  // All references outlive the copier. `targets` may be empty: then the source is only read.
  Copier(Ring& ring, Source& source, std::vector<CopyTarget>& targets, const CopyOptions& options,
         CopyObserver& observer, const StopFlag& stop);

  // To be set before run(); each may be null. The ledger has the options' chunk size.
  void keep_digests(ChunkLedger* ledger) noexcept { ledger_ = ledger; }
  void hash_content(ContentDigest* digest) noexcept { content_digest_ = digest; }

  // Copies `ranges`: ascending ranges that begin on multiples of chunk_size. Returns early when
  // `stop` is set. Throws the source's error; those of targets are in CopyTarget::error.
  void run(std::vector<ByteRange> ranges);

  // Flushes every live target, as a phase of its own, and commits the journals.
  void flush();

  // Where a stream ended; meaningful after run().
  [[nodiscard]] std::uint64_t stream_end() const noexcept { return stream_end_; }

 private:
  // Lanes that share one plan and write to the same targets.
  struct Pass {
    Plan plan;
    std::vector<std::size_t> members;  // of targets_
    Phase phase;
    std::unique_ptr<DepthControl> depth;
  };
  // One chunk, while it is copied.
  struct Chunk {
    Extent extent;
    std::vector<std::size_t> members;  // as they were when it was handed out
    Buffer content{};                  // of data: exactly the bytes
  };

  Task<> copy_lane(Pass& pass, unsigned lane, Buffer buffer);
  std::optional<Chunk> next_chunk(Pass& pass);
  Task<> read_chunk(Pass& pass, Chunk& chunk, Buffer buffer);
  Task<> note_content(Pass& pass, const Chunk& chunk);
  Task<> write_chunk(Pass& pass, const Chunk& chunk);
  Task<> write_to(std::size_t index, const Chunk& chunk, Ring::Clock::time_point& finished);
  Task<> write_runs(CopyTarget& copy, const Chunk& chunk);
  Task<> write_zeros(CopyTarget& copy, ByteRange range);

  void note_lag(const std::vector<std::size_t>& members,
                const std::vector<Ring::Clock::time_point>& finished);
  void move_to_own_pass(std::size_t index);
  void fail(std::size_t index, const Error& error);
  [[nodiscard]] bool must_stop() const;

  void abandon_targets();
  void tick();
  Task<> checkpoint(std::size_t index);
  Task<> flush_target(std::size_t index);

  Ring& ring_;
  Source& source_;
  std::vector<CopyTarget>& targets_;
  CopyOptions options_;
  CopyObserver& observer_;
  const StopFlag& stop_;
  ChunkLedger* ledger_ = nullptr;
  ContentDigest* content_digest_ = nullptr;

  RateLimiter rate_;
  BufferPool buffers_;
  std::vector<AlignedMemory> own_pass_buffers_;
  std::vector<std::unique_ptr<Pass>> passes_;
  TaskGroup tasks_;
  StragglerDetector stragglers_;
  bool abandoned_ = false;
  std::uint64_t stream_end_ = 0;
  Ring::Clock::time_point last_checkpoint_;
  unsigned checkpoints_running_ = 0;
};

// What is fed with the content that passes; each may be null.
struct ContentUsers {
  ContentDigest* digest = nullptr;
  ChunkLedger* ledger = nullptr;
};

// Reads all of `source`, for these or for a filter that it is. Gives its length in bytes. Throws
// the source's error, and ErrorKind::cancelled once `stop` is set.
std::uint64_t read_whole(Ring& ring, Source& source, const CopyOptions& options,
                         CopyObserver& observer, const StopFlag& stop, ContentUsers users = {});

// The same for a copy to `targets`, of which none may fail: throws the first one's error. Flushes
// nothing.
std::uint64_t copy_whole(Ring& ring, Source& source, std::vector<CopyTarget>& targets,
                         const CopyOptions& options, CopyObserver& observer, const StopFlag& stop,
                         ContentUsers users = {});

}  // namespace io
