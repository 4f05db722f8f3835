// The capture: a disk, read once, becomes an image.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/bmap/bmap.hpp"
#include "imgtool/image_output.hpp"
#include "imgtool/job.hpp"
#include "imgtool/journal_file.hpp"
#include "imgtool/unused_space.hpp"
#include "io/device_inventory.hpp"
#include "io/digest.hpp"
#include "io/file_source.hpp"
#include "io/output_file.hpp"
#include "io/overlay_source.hpp"
#include "io/range_map.hpp"
#include "io/rescue_source.hpp"

namespace imgtool {

struct CaptureOptions {
  std::string device;
  std::string output;  // "-": standard output
  std::optional<std::uint64_t> length;
  bool to_last_partition = false;
  bool used = false;  // leaves out what no file system uses
  bool rescue = false;
  bool resume = false;
  bool force = false;
  std::optional<std::string> mapfile;
  std::optional<io::DigestAlgorithm> digest;
  std::optional<std::string> bmap;  // where to write the block map
  OutputOptions target;
  unsigned threads = 1;
};

class CaptureJob {
 public:
  // Opens both sides; nothing is changed when it throws. `ring` outlives the job.
  CaptureJob(io::Ring& ring, CaptureOptions options, const TuningOptions& tuning);

  // Throws io::Error; ErrorKind::cancelled when a signal asked to stop. Then there is no
  // image, or with a mapfile a part of one to go on with.
  void run(io::CopyObserver& observer);

  // Something the user should know before it starts, or "".
  [[nodiscard]] std::string warning() const;
  [[nodiscard]] const std::string& space_warning() const noexcept { return space_warning_; }
  // How to go on after a failure, or "".
  [[nodiscard]] std::string advice() const;

  // After run():
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t data_bytes() const;
  [[nodiscard]] std::vector<io::ByteRange> unreadable() const;  // ascending
  [[nodiscard]] const std::string& digest() const noexcept { return digest_; }
  // With to_last_partition: what of the disk was left out at its end, and whether the
  // image's partition table is another than the disk's.
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }
  [[nodiscard]] bool table_changed() const noexcept { return table_changed_; }
  // With used: what was found; else null.
  [[nodiscard]] const formats::FreeSpace* unused() const {
    return unused_ ? &unused_->found() : nullptr;
  }

 private:
  void open_source();
  void stop_behind_partitions();
  void find_unused();
  [[nodiscard]] io::Source& source();
  [[nodiscard]] OutputPlan plan_target();
  void check_space(const OutputPlan& plan);
  [[nodiscard]] io::Error explain_no_space(const io::Error& error);
  void check_paths() const;
  void open_output(OutputPlan plan);
  void open_raw_target();
  void open_image(OutputPlan plan);
  void open_journal();
  void remember_what_is_there();
  // Fills `content` with what an earlier run had read there; false when none had.
  bool read_before(io::ByteRange range, std::span<std::byte> content) const;
  void copy(io::CopyObserver& observer);
  void keep_for_resume();
  void check_unused();
  void hash_result(io::CopyObserver& observer);
  void map_result(io::CopyObserver& observer);
  [[nodiscard]] std::vector<io::ByteRange> ranges_to_copy() const;

  io::Ring& ring_;
  CaptureOptions options_;
  io::CopyOptions copy_options_;
  io::DeviceInventory inventory_;
  io::File disk_file_;
  std::unique_ptr<io::FileSource> disk_;
  std::optional<io::RescueSource> rescue_;
  std::optional<io::OverlaySource> overlay_;    // over one of them
  std::unique_ptr<io::FileSource> whole_disk_;  // whatever --length says
  std::unique_ptr<UnusedSpace> unused_;
  bool unused_changed_ = false;
  std::unique_ptr<io::ZeroRanges> filter_;  // over all of these
  std::uint64_t left_out_ = 0;
  bool table_changed_ = false;
  std::uint64_t size_ = 0;

  std::string space_warning_;
  std::optional<JournalFile> journal_file_;
  io::RangeMap<bool> lost_;  // in this run
  // Of a run that is gone on with:
  std::optional<io::RangeMap<io::BlockState>> done_before_;
  io::File kept_image_;
  // A raw image that can be gone on with is written through `output_`, any other by `image_`.
  std::unique_ptr<io::OutputFile> output_;
  std::optional<io::WorkerPool> workers_;
  std::unique_ptr<ImageOutput> image_;
  io::File pipe_;
  std::unique_ptr<io::Target> target_;
  std::vector<io::CopyTarget> copies_;
  std::string digest_;
  std::unique_ptr<io::OutputFile> bmap_file_;
  std::optional<formats::bmap::Bmap> bmap_;
};

// Prints what was captured, as text or as one JSON document, and gives the exit code.
int report_capture(const CaptureJob& job, const CaptureOptions& options, double seconds, bool json);

}  // namespace imgtool
