// A disk or a file that burn writes to: checked, opened, and held until the end.
//
// A block device is opened O_EXCL and stays so until verify is over. A file that does not exist
// is written under a temporary name; an existing one stands in for a disk and is written in
// place. Throws io::Error(refused), with what to do, for everything that must not be written.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/jobs/burn_place.hpp"
#include "imgtool/jobs/disk_survey.hpp"
#include "io/devices/device_inventory.hpp"
#include "io/devices/device_usage.hpp"
#include "io/file.hpp"
#include "io/file_target.hpp"
#include "io/output_file.hpp"

namespace imgtool {

enum class Direct : std::uint8_t { automatic, on, off };
enum class Discard : std::uint8_t { automatic, always, never };

struct BurnTargetOptions {
  std::optional<std::uint64_t> image_size;  // unknown for a stream
  std::optional<std::uint64_t> least_size;  // of a disk that has room for all that matters of it
  std::vector<std::string> expected_serials;
  bool overwrite_files = false;  // --force
  Direct direct = Direct::automatic;
  Discard discard = Discard::automatic;
  bool resume = false;
  bool starts_as_zeros = false;  // the caller says so; zeros are not written then
};

class BurnTarget final : public BurnPlace {
 public:
  // Opens and checks; nothing is written when it refuses. `usage` outlives the call; `images` are
  // the files of what will be burned.
  BurnTarget(std::string path, const std::vector<std::string>& images, const io::DeviceUsage& usage,
             const BurnTargetOptions& options);

  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] std::uint64_t capacity() const override { return capacity_; }
  [[nodiscard]] std::uint64_t disk_size(std::uint64_t content_size) const override;
  [[nodiscard]] std::optional<std::uint64_t> sector_size() const override;
  [[nodiscard]] bool is_partition() const override {
    return device_ && device_->kind == io::DeviceKind::partition;
  }
  [[nodiscard]] std::unique_ptr<BurnMedium> start(io::Ring& ring) override;

  // Nothing for a file.
  [[nodiscard]] const std::optional<io::BlockDevice>& device() const noexcept { return device_; }
  [[nodiscard]] const io::QueueLimits& queue() const noexcept { return queue_; }
  // "/dev/sdb (Samsung SSD 870, serial S5Y..., 465.8 GiB)"
  [[nodiscard]] std::string description() const;
  // What the device holds now. Before start().
  [[nodiscard]] DiskSurvey survey_content(io::Ring& ring);
  // The same whenever it is the same disk or file: for a mapfile.
  [[nodiscard]] std::string identity_text();
  // Leaves a half-written new file for --resume.
  void keep_for_resume();

 private:
  [[nodiscard]] io::File& file() { return output_ ? output_->file() : file_; }
  void open_device(const io::DeviceUsage& usage, const std::vector<std::string>& images);
  void refuse_uses(const std::string& name, const io::DeviceUsage& usage,
                   const std::vector<std::string>& images) const;
  void hold(const io::DeviceUsage& usage, const std::vector<std::string>& images);
  [[nodiscard]] bool try_open_exclusively(const io::DeviceUsage& usage,
                                          const std::vector<std::string>& images);
  void open_file(const std::vector<std::string>& images, const io::DeviceUsage& usage);
  void lock_file();
  void refuse_swapped(const std::vector<std::string>& images) const;
  void check_serial(const io::SystemRoots& roots);
  void check_size() const;
  [[nodiscard]] io::ZeroMethod first_zero_method() const;
  void discard_all();

  std::string path_;
  BurnTargetOptions options_;
  io::FileStatus checked_;  // what the path led to before it was opened; of a new file nothing
  std::optional<io::BlockDevice> device_;
  io::QueueLimits queue_;
  std::uint64_t capacity_ = 0;
  std::uint64_t size_before_ = 0;           // of a file that was there
  std::unique_ptr<io::OutputFile> output_;  // of a new file
  io::File file_;                           // of everything else
};

}  // namespace imgtool
