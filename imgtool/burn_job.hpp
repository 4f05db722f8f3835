// The burn, from the first byte to the last check:
//
//   wipe the head - copy the rest - flush - verify, mend - check the digest
//   - fit the partition table - write the head - flush - verify, mend - give files their names
//
// The head (the first MiB: boot code, partition table) comes last, so that a disk never looks
// complete before it is. A target that fails drops out; the others end as if it had not been.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/burn_target.hpp"
#include "imgtool/table_step.hpp"
#include "io/copier.hpp"
#include "io/memory_source.hpp"
#include "io/verifier.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

enum class VerifyMode : std::uint8_t { full, sample, none };

struct BurnJobOptions {
  io::CopyOptions copy;
  VerifyMode verify = VerifyMode::full;
  std::optional<io::DigestAlgorithm> algorithm;  // of the image's content
  std::string expected_digest;                   // hex; empty: only compute it
  TableOptions table;
  // Throws io::Error when the image is not what it was; asked before the targets look complete.
  std::function<void()> check_image{};
  bool refuse_empty = false;  // of a pipe that nothing came through, nobody knows why
};

// What became of one target, for the report.
struct BurnResult {
  std::optional<io::Error> error;           // nothing: it holds the image
  std::uint64_t data_bytes = 0;             // written as data
  std::uint64_t zero_bytes = 0;             // zeroed by request
  std::uint64_t rewritten_bytes = 0;        // found bad by verify, then mended
  std::vector<io::ByteRange> bad_ranges{};  // what was bad at the last verify that found any
  TableChange table;
  std::string remark;
};

class BurnJob {
 public:
  // All references outlive the job. `journals`: one for each target, or none at all.
  BurnJob(io::Ring& ring, io::Source& image, std::vector<std::unique_ptr<BurnTarget>>& targets,
          BurnJobOptions options, io::CopyObserver& observer, const io::StopFlag& stop);

  // For --mapfile; before run().
  void keep_journal(std::size_t target, io::Journal& journal,
                    std::function<void(io::Journal&)> save);

  // Throws what concerns all targets: errors of the image, a digest that differs, and
  // ErrorKind::cancelled when `stop` was set. The fate of each target is in results().
  void run();

  [[nodiscard]] const std::vector<BurnResult>& results() const noexcept { return results_; }
  // Known after run().
  [[nodiscard]] std::uint64_t image_size() const noexcept { return size_; }
  [[nodiscard]] const std::string& digest() const noexcept { return digest_; }

 private:
  void start_targets();
  void read_head();
  void wipe_heads();
  void copy_rest();
  void check_digest();
  void check_tables();
  void complete();
  [[nodiscard]] bool any_live() const;
  void fit_tables();
  void write_heads();
  void write_head(std::vector<io::Patch> patches, const std::vector<std::size_t>& targets);
  void finish_targets();
  void collect_results();

  // What some of the targets must hold.
  struct Content {
    io::Source* source;  // null: it cannot be read again
    io::ChunkLedger& ledger;
    std::vector<std::size_t> targets;
  };
  // Verifies `ranges` against the ledger, rewriting from the source what is bad.
  void verify_and_mend(const Content& content, const std::vector<io::ByteRange>& ranges);
  // The targets that still differ, with their bad chunks.
  std::vector<io::Medium> find_bad(const Content& content, std::vector<io::Medium> media,
                                   const std::vector<io::ByteRange>& ranges);
  void rewrite(io::Source& image, const io::Medium& medium);
  [[nodiscard]] std::unique_ptr<io::Source> medium(std::size_t index);
  void give_up_on(const io::Medium& medium);
  void fail(std::size_t index, const io::Error& error);
  void flush(io::Copier& copier);
  void settle_targets();
  void throw_if_stopped() const;
  [[nodiscard]] std::vector<io::ByteRange> rest_to_copy() const;

  io::Ring& ring_;
  io::Source& image_;
  std::vector<std::unique_ptr<BurnTarget>>& targets_;
  BurnJobOptions options_;
  io::CopyObserver& observer_;
  const io::StopFlag& stop_;

  std::vector<io::CopyTarget> copies_;
  std::vector<BurnResult> results_;
  io::ChunkLedger ledger_;
  std::optional<io::WorkerPool> worker_;  // hashes the content
  std::optional<io::ContentDigest> content_digest_;
  std::optional<io::MemorySource> head_;
  std::uint64_t size_ = 0;
  std::string digest_;
};

}  // namespace imgtool
