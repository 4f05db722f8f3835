// Reads targets back, and rewrites what is bad until a pass over the whole content finds nothing.
//
// A whole pass after each mending: on a medium whose addresses wrap, mending one chunk breaks
// another. A medium that cannot be mended fails, and where its bad chunks tell that it is smaller
// than it claims, the failure says so.
#pragma once

#include <vector>

#include "imgtool/jobs/burn_state.hpp"
#include "io/chunk_ledger.hpp"
#include "io/verifier.hpp"

namespace imgtool {

// What targets must hold.
struct BurnContent {
  io::Source* source;       // null: it cannot be read again
  io::ChunkLedger& ledger;  // of what was written
  std::uint64_t size;       // bytes, from the target's beginning on
};

class BurnMender {
 public:
  // All references outlive it. `image`: what a target that is shorter than it lacks, reads as.
  BurnMender(io::Ring& ring, BurnState& state, io::Source& image, VerifyMode mode,
             const io::CopyOptions& copy, io::CopyObserver& observer, const io::StopFlag& stop);

  [[nodiscard]] bool verifies() const noexcept { return mode_ != VerifyMode::none; }

  // What is on a target, `size` bytes of it: where the target is shorter, the image goes on.
  [[nodiscard]] std::unique_ptr<io::Source> read_back(std::size_t target, std::uint64_t size);

  // Verifies `ranges`, ascending on the ledger's grid, of those of `targets` that are live. One
  // that cannot be mended fails. Throws errors of the source, and cancelled.
  void verify_and_mend(const BurnContent& content, const std::vector<std::size_t>& targets,
                       const std::vector<io::ByteRange>& ranges);

  // The chunks of `ranges` that a target holds wrongly, all of them looked at whatever the mode.
  [[nodiscard]] std::vector<io::ByteRange> bad_chunks(const BurnContent& content,
                                                      std::size_t target,
                                                      const std::vector<io::ByteRange>& ranges);

  // The size that a target seems to have if the `bad` chunks read as other chunks of the content.
  [[nodiscard]] std::optional<std::uint64_t> size_by_content(const BurnContent& content,
                                                             std::size_t target,
                                                             const std::vector<io::ByteRange>& bad);

  // The same of bad chunks that read as no other chunk, since its size is not on their grid.
  // `expected`: what the chunks should hold, or null for zeros.
  [[nodiscard]] std::optional<std::uint64_t> size_by_repetition(
      std::uint64_t content_size, std::size_t target, const std::vector<io::ByteRange>& bad,
      io::Source* expected);

  // Takes a target out of the job.
  void fail(std::size_t target, const io::Error& error);
  // The same for content that differs: `text` tells what, `real_size` about the size it has.
  void fail_as_different(std::size_t target, std::string text,
                         std::optional<std::uint64_t> real_size);
  void throw_if_stopped() const;

 private:
  // What is known of a target that differs.
  struct Finding {
    std::size_t target;
    std::vector<io::ByteRange> bad{};  // chunks
    std::optional<io::Error> read_error{};
    std::optional<std::uint64_t> proven_size{};     // bad chunks hold other chunks' bytes
    std::optional<std::uint64_t> repeated_size{};   // the medium repeats itself that far on
    std::optional<std::uint64_t> suspected_size{};  // by where the bad chunks lie
  };

  std::vector<Finding> find_bad(const BurnContent& content, const std::vector<std::size_t>& targets,
                                const std::vector<io::ByteRange>& ranges, VerifyMode mode,
                                io::CopyObserver& observer);
  void note_size(const BurnContent& content, io::ByteRange range, Finding& finding);
  void note_repetition(const BurnContent& content, Finding& finding);
  void rewrite(io::Source& source, const Finding& finding);
  void give_up_on(const Finding& finding, bool tried);

  io::Ring& ring_;
  BurnState& state_;
  io::Source& image_;
  VerifyMode mode_;
  io::CopyOptions copy_;
  io::CopyObserver& observer_;
  const io::StopFlag& stop_;
};

}  // namespace imgtool
