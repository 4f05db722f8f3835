// The rebase: an image shows the same disk over another backing file.
//
// What the two backing files have different is written into the image first, beside what it has;
// one write of one sector takes that and the new name into use. Stopped or killed at any moment,
// the image shows the same, over the old backing file or the new one.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "formats/images/format.hpp"
#include "formats/images/image.hpp"
#include "formats/images/qcow2/disk_editor.hpp"
#include "formats/images/qcow2/header.hpp"
#include "io/buffer_pool.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/ring.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

struct RebaseOptions {
  std::string path;
  std::string base;                            // the name as it is to stand in there; "": none
  std::optional<formats::Format> base_format;  // nothing: its content decides
  bool only_name = false;  // nothing is read or written but the name: the content is as told
  bool follow_references = false;
};

class RebaseJob {
 public:
  // Opens, locks and checks all of it; changes nothing. `ring` and `stop` outlive the job. Throws
  // io::Error. With `only_name` and a base, `base_format` is given.
  RebaseJob(io::Ring& ring, RebaseOptions options, const io::StopFlag& stop);

  // Throws io::Error; ErrorKind::cancelled when `stop` was set.
  void run(io::CopyObserver& observer);

  [[nodiscard]] const RebaseOptions& options() const noexcept { return options_; }
  [[nodiscard]] const std::string& base_format() const noexcept { return next_.backing_format; }
  // Bytes that the image holds itself now: of content, and in clusters of zeros.
  [[nodiscard]] std::uint64_t data_bytes() const noexcept { return data_bytes_; }
  [[nodiscard]] std::uint64_t zero_bytes() const noexcept { return zero_bytes_; }

 private:
  struct Look {
    bool may_differ = false;
    std::uint64_t end = 0;
  };

  void open_new_base();
  [[nodiscard]] io::ByteRange next_range(std::uint64_t offset) const;
  [[nodiscard]] Look look_at(std::uint64_t at) const;
  void compare_and_write(io::ByteRange range, formats::qcow2::DiskEditor& editor);

  io::Ring& ring_;
  RebaseOptions options_;
  const io::StopFlag& stop_;
  io::WorkerPool workers_;
  io::File image_;
  formats::qcow2::Header now_;
  formats::qcow2::Header next_;
  std::unique_ptr<formats::Image> old_;   // what it shows
  std::unique_ptr<formats::Image> base_;  // what the new base shows; null: zeros
  std::optional<io::AlignedMemory> old_content_;
  std::optional<io::AlignedMemory> new_content_;
  std::uint64_t data_bytes_ = 0;
  std::uint64_t zero_bytes_ = 0;
};

}  // namespace imgtool
