// The burn, from the first byte to the last check:
//
//   wipe the head - mark the disk's end - copy the rest - flush - verify, mend
//   - is the mark still there? - check the digest - fit the partition table
//   - is the head still wiped? - write the head - flush - verify, mend
//   - has that changed anything else? - give files their names
//
// The head (the first MiB: boot code, partition table) comes last, and is wiped again when it
// cannot be verified, so that a disk never looks complete before it is. A target that fails drops
// out; the others end as if it had not been.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/jobs/burn_head.hpp"
#include "imgtool/jobs/burn_mender.hpp"
#include "imgtool/jobs/burn_state.hpp"
#include "imgtool/jobs/end_mark.hpp"
#include "imgtool/jobs/write_clock.hpp"
#include "io/content_digest.hpp"
#include "io/memory_source.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

struct BurnJobOptions {
  io::CopyOptions copy;
  VerifyMode verify = VerifyMode::full;
  std::optional<io::DigestAlgorithm> algorithm;  // of the image's content
  std::string expected_digest;                   // hex; empty: only compute it
  PartitionTableOptions table;
  // Throws io::Error when the image is not what it was; asked before the targets look complete.
  std::function<void()> check_image{};
  bool refuse_empty = false;  // a pipe that ends before its first byte is an error
};

class BurnJob {
 public:
  // All references, and the places, outlive the job.
  BurnJob(io::Ring& ring, io::Source& image, std::vector<BurnPlace*> places, BurnJobOptions options,
          io::CopyObserver& observer, const io::StopFlag& stop);

  // For --mapfile; before run().
  void keep_journal(std::size_t target, io::Journal& journal,
                    std::function<void(io::Journal&)> save);

  // Throws what concerns all targets: errors of the image, a digest that differs, and
  // ErrorKind::cancelled when `stop` was set. The fate of each target is in results().
  void run();

  // Complete after run(), also when it throws.
  [[nodiscard]] const std::vector<BurnResult>& results() const noexcept { return state_.results; }
  // Known after run().
  [[nodiscard]] std::uint64_t image_size() const noexcept { return size_; }
  [[nodiscard]] const std::string& digest() const noexcept { return digest_; }

 private:
  void start_targets();
  void read_head();
  void check_resumed();
  [[nodiscard]] std::vector<io::ByteRange> resume_samples(const std::vector<io::ByteRange>& chunks);
  void wipe_heads();
  void mark_ends();
  void check_ends();
  void copy_rest();
  void hash_all();
  void check_digest();
  void check_tables();
  void complete();
  void fit_tables();
  void write_heads();
  void write_patched_head(std::vector<io::Patch> patches, const std::vector<std::size_t>& targets);
  void take_back_heads();
  void take_back_where_addresses_wrap();
  void finish_targets();
  void collect_results();
  void settle_targets();
  [[nodiscard]] BurnContent rest_content();
  [[nodiscard]] std::vector<io::ByteRange> rest_to_copy() const;

  // Calls `step` for each live target; one that throws io::Error fails. A stop goes through.
  void for_each_live(const std::function<void(std::size_t)>& step);

  io::Ring& ring_;
  io::Source& image_;
  BurnJobOptions options_;
  io::CopyObserver& observer_;  // clock_
  const io::StopFlag& stop_;

  WriteClock clock_;  // hears all, and passes it on
  BurnState state_;
  BurnMender mender_;
  io::ChunkLedger ledger_;
  std::optional<io::WorkerPool> worker_;  // hashes the content
  std::optional<io::ContentDigest> content_digest_;
  std::optional<io::MemorySource> head_;             // in memory until its time comes
  std::optional<BurnHead> head_step_;                // set with head_
  std::vector<std::unique_ptr<EndMark>> end_marks_;  // for each target; null: none
  std::uint64_t size_ = 0;
  std::string digest_;
};

}  // namespace imgtool
