// The capture: a disk, read once, becomes an image.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/images/bmap/bmap.hpp"
#include "imgtool/jobs/image_output.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/journal_file.hpp"
#include "imgtool/jobs/unused_space.hpp"
#include "io/devices/device_inventory.hpp"
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
  bool force_cut = false;   // ... whatever lies behind it
  bool used = false;        // leaves out what no file system uses
  bool trust_maps = false;  // ... by their maps alone
  bool drop_swap = false;   // ... and what paging and swap files hold
  bool rescue = false;
  bool force_share = false;  // reads what another program writes
  std::optional<std::string> mapfile;
  std::optional<io::DigestAlgorithm> digest;
  std::optional<std::string> bmap;  // where to write the block map
  OutputOptions target;             // also --force and --resume
  unsigned threads = 1;
};

// What changes when a disk or a file is written to.
struct SourceState {
  std::uint64_t writes = 0;  // of a disk
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;  // of a file
  friend bool operator==(const SourceState&, const SourceState&) = default;
};

class CaptureJob {
 public:
  // Opens both sides; nothing is changed when it throws. `ring` and `stop` outlive the
  // job.
  CaptureJob(io::Ring& ring, CaptureOptions options, const TuningOptions& tuning,
             const io::StopFlag& stop);

  // Throws io::Error; ErrorKind::cancelled when `stop` was set. Then there is no
  // image, or with a mapfile a part of one to go on with.
  void run(io::CopyObserver& observer);

  // Something the user should know before it starts, or "".
  [[nodiscard]] std::string warning() const;
  [[nodiscard]] const std::string& space_warning() const noexcept { return space_warning_; }
  // How to go on after a failure, or "".
  [[nodiscard]] std::string advice() const;

  // That the disk ends before its partitions do, as a note; or "".
  [[nodiscard]] const std::string& cut_short() const noexcept { return cut_short_; }
  // Whether it is mounted, or below this system, so that it may be written to meanwhile.
  [[nodiscard]] bool in_use() const { return !warning().empty(); }

  // After run():
  // Whether the disk was written to while it was read, as far as the kernel tells.
  [[nodiscard]] bool written_meanwhile() const noexcept { return written_meanwhile_; }
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
  void refuse_loss(formats::DiskView& disk, const formats::partitions::Layout& layout,
                   std::uint64_t end) const;
  void find_unused();
  void look_for_truncation();
  [[nodiscard]] io::Source& source();
  [[nodiscard]] OutputPlan plan_target() const;
  void check_paths() const;
  void check_space(const OutputPlan& plan);
  void open_output(OutputPlan plan);
  void open_journal();
  void remember_what_is_there();
  // Fills `content` with what an earlier run had read there; false when none had.
  bool read_before(io::ByteRange range, std::span<std::byte> content) const;
  void copy(io::CopyObserver& observer);
  void write_bmap();
  [[nodiscard]] SourceState source_state() const;
  void keep_for_resume();
  void check_unused();
  void hash_result(io::CopyObserver& observer);
  void map_result(io::CopyObserver& observer);
  [[nodiscard]] std::vector<io::ByteRange> ranges_to_copy() const;

  io::Ring& ring_;
  CaptureOptions options_;
  const io::StopFlag& stop_;
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

  SourceState state_before_;
  bool written_meanwhile_ = false;
  std::string cut_short_;
  std::string space_warning_;
  std::optional<JournalFile> journal_file_;
  io::RangeMap<bool> lost_;  // in this run
  // What the earlier run did, with --resume:
  std::optional<io::RangeMap<io::BlockState>> done_before_;
  io::File kept_image_;
  io::WorkerPool workers_;
  std::unique_ptr<ImageOutput> output_;
  std::vector<io::CopyTarget> copies_;
  std::string digest_;
  std::unique_ptr<io::OutputFile> bmap_file_;
  std::optional<formats::bmap::Bmap> bmap_;
};

}  // namespace imgtool
