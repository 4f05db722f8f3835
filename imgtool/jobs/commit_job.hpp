// The commit: what an overlay holds is written into an image that it lies over.
//
// The overlay is not touched before all of it is on the base's medium. Stopped or killed at any
// moment, the base is as it was or has a part of the new content already, and the overlay shows
// what it showed: the same commit again completes it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/format.hpp"
#include "formats/images/image.hpp"
#include "formats/images/qcow2/disk_editor.hpp"
#include "formats/images/qcow2/header.hpp"
#include "imgtool/jobs/edited_chain.hpp"
#include "io/buffer_pool.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/ring.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

struct CommitOptions {
  std::string path;
  // A path; nothing: the overlay's own backing file. The images between them are committed too, and
  // the overlay keeps what it has.
  std::optional<std::string> base;
  bool keep = false;  // does not empty the overlay
  bool follow_references = false;
};

class CommitJob {
 public:
  // Opens, locks and checks all of it; changes nothing. `ring` and `stop` outlive the job. Throws
  // io::Error.
  CommitJob(io::Ring& ring, CommitOptions options, const io::StopFlag& stop);

  // Throws io::Error; ErrorKind::cancelled when `stop` was set.
  void run(io::CopyObserver& observer);

  [[nodiscard]] const CommitOptions& options() const noexcept { return options_; }
  [[nodiscard]] const std::string& base() const noexcept { return base_link_.path; }
  // Of the base's disk, in bytes; after run(): now.
  [[nodiscard]] std::uint64_t size_before() const noexcept { return size_before_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return base_size_; }
  // Bytes that were written as content, and that were made zeros.
  [[nodiscard]] std::uint64_t data_bytes() const noexcept { return data_bytes_; }
  [[nodiscard]] std::uint64_t zero_bytes() const noexcept { return zero_bytes_; }
  [[nodiscard]] bool emptied() const noexcept { return emptied_; }

 private:
  void find_base();
  void check_base();
  void grow_base();
  void open_source();
  void record_in_bitmaps();
  void open_target();
  [[nodiscard]] bool is_qcow2() const { return base_link_.format == formats::Format::qcow2; }
  [[nodiscard]] io::ByteRange next_range(std::uint64_t offset) const;
  void copy(io::ByteRange range);
  void write_raw(io::ByteRange range);

  io::Ring& ring_;
  CommitOptions options_;
  const io::StopFlag& stop_;
  io::WorkerPool workers_;
  io::File overlay_;
  formats::qcow2::Header header_;  // the overlay's
  ChainLink base_link_;
  unsigned depth_ = 1;  // of the base in the chain
  io::File base_;
  std::unique_ptr<formats::Image> source_;            // what the overlay shows
  std::unique_ptr<formats::Image> below_;             // what the base shows
  std::optional<formats::qcow2::DiskEditor> editor_;  // of a qcow2 base
  std::uint64_t unit_ = 1;                            // what the base stores at once
  bool may_punch_ = false;                            // holes into a raw base
  std::optional<io::AlignedMemory> buffer_;
  std::uint64_t size_before_ = 0;
  std::uint64_t base_size_ = 0;
  std::uint64_t data_bytes_ = 0;
  std::uint64_t zero_bytes_ = 0;
  bool emptied_ = false;
};

}  // namespace imgtool
