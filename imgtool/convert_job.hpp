// The conversion: an image, read once, becomes another one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/backing_file.hpp"
#include "imgtool/image_output.hpp"
#include "imgtool/image_source.hpp"
#include "imgtool/job.hpp"
#include "imgtool/unused_space.hpp"
#include "io/copier.hpp"
#include "io/digest.hpp"
#include "io/output_file.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

struct ConvertOptions {
  std::string source;
  std::string output;  // "-": standard output
  formats::OpenOptions open;
  OutputOptions target;
  std::optional<io::DigestAlgorithm> digest;
  std::optional<std::string> bmap;  // where its block map goes
  bool drop_free = false;           // leaves out what no file system uses
  unsigned threads = 1;
  std::uint64_t rate = 0;
};

// What a qcow2 image has beside its disk, which no conversion takes along.
struct LeftBehind {
  std::uint32_t bitmaps = 0;
  std::uint32_t snapshots = 0;
};

class ConvertJob {
 public:
  // Opens both sides; nothing is changed when it throws. `ring` outlives the job.
  ConvertJob(io::Ring& ring, ConvertOptions options);

  // Disks that will be overwritten.
  [[nodiscard]] std::vector<std::string> disks() const { return output_->disks(); }

  [[nodiscard]] const LeftBehind& left_behind() const noexcept { return left_behind_; }

  // Refuses (io::Error) when the output cannot fit. Something worth telling before it starts, or
  // "".
  [[nodiscard]] std::string check_space();

  // Throws io::Error; ErrorKind::cancelled when a signal asked to stop. Then there is no image.
  void run(io::CopyObserver& observer);

  // After run():
  [[nodiscard]] const ConvertOptions& options() const noexcept { return options_; }
  [[nodiscard]] const ImageOutput& output() const noexcept { return *output_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t content_bytes() const;
  [[nodiscard]] const std::string& digest() const noexcept { return digest_; }
  [[nodiscard]] const std::string& remark() const noexcept { return remark_; }
  // With drop_free: what was found; else null.
  [[nodiscard]] const formats::FreeSpace* unused() const {
    return unused_ ? &unused_->found() : nullptr;
  }

 private:
  void open_output();
  // Of all files that are read.
  [[nodiscard]] std::vector<std::string> read_paths() const;
  [[nodiscard]] bool is_about_image_file(const io::Error& error) const;
  void find_unused();
  void look_for_more_than_the_disk();
  void check_size_for_bmap(std::uint64_t size) const;
  // The source, without what is dropped.
  [[nodiscard]] io::Source& input();
  void choose_sizes();
  void copy(io::CopyObserver& observer);

  io::Ring& ring_;
  ConvertOptions options_;
  io::WorkerPool workers_;
  ImageSource source_;
  std::unique_ptr<UnusedSpace> unused_;
  std::unique_ptr<io::ZeroRanges> filter_;
  std::optional<BackingFile> backing_;
  std::unique_ptr<ImageOutput> output_;
  std::unique_ptr<io::OutputFile> bmap_file_;
  io::CopyOptions copy_options_;
  std::vector<io::CopyTarget> copies_;
  std::uint64_t size_ = 0;
  LeftBehind left_behind_;
  std::string digest_;
  std::string remark_;
};

// Prints what was made, as text or as one JSON document.
void report_conversion(const ConvertJob& job, double seconds, bool json);

}  // namespace imgtool
