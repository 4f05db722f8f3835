// The conversion: an image, read once, becomes another one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/jobs/backing_file.hpp"
#include "imgtool/jobs/image_output.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/padded_disk.hpp"
#include "imgtool/jobs/stream_head.hpp"
#include "imgtool/jobs/unused_space.hpp"
#include "io/copier.hpp"
#include "io/digest.hpp"
#include "io/output_file.hpp"
#include "io/range_map.hpp"
#include "io/rescue_source.hpp"
#include "io/window_source.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

struct ConvertOptions {
  std::string source;
  std::string output;  // "-": standard output
  formats::OpenOptions open;
  OutputOptions target;
  std::optional<io::DigestAlgorithm> digest;
  std::optional<std::string> bmap;       // where its block map goes
  bool drop_free = false;                // leaves out what no file system uses
  bool trust_maps = false;               // ... by their maps alone
  bool drop_swap = false;                // ... and what paging and swap files hold
  bool salvage = false;                  // goes on past damage: zeros for what is lost
  std::uint64_t skip = 0;                // begins there, in bytes of the disk
  std::optional<std::uint64_t> count{};  // ... and takes so many bytes, or what there is
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
  // Opens both sides; nothing is changed when it throws. `ring` and `stop` outlive the job.
  ConvertJob(io::Ring& ring, ConvertOptions options, const io::StopFlag& stop);

  // Disks that will be overwritten.
  [[nodiscard]] std::vector<std::string> disks() const { return output_->disks(); }

  [[nodiscard]] const LeftBehind& left_behind() const noexcept { return left_behind_; }

  // That the image's disk is longer than the source, or had better be; or "".
  [[nodiscard]] const std::string& size_note() const noexcept { return size_note_; }

  // That the source ends before its partitions do, as a note; or "". Of a stream it is known after
  // run().
  [[nodiscard]] const std::string& cut_short() const noexcept { return cut_short_; }

  // Refuses (io::Error) when the output cannot fit. Something worth telling before it starts, or
  // "".
  [[nodiscard]] std::string check_space();

  [[nodiscard]] const ImageOutput& output() const noexcept { return *output_; }

  // Throws io::Error; ErrorKind::cancelled when `stop` was set. Then there is no image.
  void run(io::CopyObserver& observer);

  // After run():
  [[nodiscard]] const ConvertOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t content_bytes() const;
  [[nodiscard]] const std::string& digest() const noexcept { return digest_; }
  [[nodiscard]] const std::string& remark() const noexcept { return remark_; }
  // With salvage: what could not be read, ascending; it is zeros in the new image.
  [[nodiscard]] std::vector<io::ByteRange> lost() const;
  // With drop_free: what was found; else null.
  [[nodiscard]] const formats::FreeSpace* unused() const {
    return unused_ ? &unused_->found() : nullptr;
  }

 private:
  void refuse_options_of_disks() const;
  void choose_part();
  void go_on_past_damage();
  void open_output();
  std::uint64_t pad_disk(const OutputPlan& plan, std::uint64_t size);
  // Those of all files that are read.
  [[nodiscard]] std::vector<std::string> read_paths() const;
  void find_unused();
  void look_for_more_than_the_disk();
  void refuse_empty(std::uint64_t size) const;
  void check_size_for_bmap(std::uint64_t size) const;
  // All that is wanted of the source, damaged or not.
  [[nodiscard]] io::Source& disk();
  // That, without what is dropped.
  [[nodiscard]] io::Source& input();
  void choose_sizes();
  void copy(io::CopyObserver& observer);

  io::Ring& ring_;
  ConvertOptions options_;
  const io::StopFlag& stop_;
  io::WorkerPool workers_;
  ImageSource source_;
  std::optional<io::WindowSource> window_;  // of a part
  std::optional<io::RescueSource> rescue_;
  io::RangeMap<bool> lost_;
  std::optional<StreamHead> head_;  // of a source that is read once
  std::unique_ptr<UnusedSpace> unused_;
  std::unique_ptr<io::ZeroRanges> filter_;
  std::optional<PaddedDisk> padded_;  // over one of them
  std::optional<BackingFile> backing_;
  std::unique_ptr<ImageOutput> output_;
  std::unique_ptr<io::OutputFile> bmap_file_;
  io::CopyOptions copy_options_;
  std::vector<io::CopyTarget> copies_;
  std::uint64_t size_ = 0;
  LeftBehind left_behind_;
  std::string size_note_;
  std::string cut_short_;
  std::string digest_;
  std::string remark_;
};

}  // namespace imgtool
