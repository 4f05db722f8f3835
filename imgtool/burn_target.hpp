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

#include "io/clipped_target.hpp"
#include "io/device_inventory.hpp"
#include "io/device_usage.hpp"
#include "io/file.hpp"
#include "io/file_target.hpp"
#include "io/output_file.hpp"
#include "io/source.hpp"

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

class BurnTarget {
 public:
  // Checks and opens, in this order, so that nothing changes when it refuses. `inventory` and
  // `usage` outlive the call; `images` are the files of what will be burned.
  BurnTarget(std::string path, const std::vector<std::string>& images,
             const io::DeviceInventory& inventory, const io::DeviceUsage& usage,
             const BurnTargetOptions& options);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Nothing for a file.
  [[nodiscard]] const std::optional<io::BlockDevice>& device() const noexcept { return device_; }
  [[nodiscard]] const io::QueueLimits& queue() const noexcept { return queue_; }
  [[nodiscard]] io::FileIdentity identity() { return file().status().identity; }
  // Bytes that fit; without limit for a file.
  [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }
  // Of the disk, once it holds `content_size` bytes: an existing file keeps its length.
  [[nodiscard]] std::uint64_t disk_size(std::uint64_t content_size) const;
  // Logical; nothing for a file, which has none.
  [[nodiscard]] std::optional<std::uint64_t> sector_size() const;
  // "/dev/sdb (Samsung SSD 870, serial S5Y..., 465.8 GiB)"
  [[nodiscard]] std::string description() const;

  // The same whenever it is the same disk or file: for a mapfile.
  [[nodiscard]] std::string identity_text();

  // Makes it ready to be written through `ring`: gives a file its length, discards a disk when
  // asked to. Throws io::Error.
  void start(io::Ring& ring);
  [[nodiscard]] io::Target& target();
  // Reads back what is on the medium; forgets what the system had cached of it.
  [[nodiscard]] std::unique_ptr<io::Source> medium(io::Ring& ring, std::uint64_t size);

  // All `size` bytes are written: gives a file its exact length, which for one that was longer
  // before is the old one.
  void settle(std::uint64_t size);
  // The content is complete: final name, partition table re-read. Gives a remark worth telling,
  // or "".
  std::string finish(std::uint64_t size);
  // Leaves a half-written new file for --resume.
  void keep_for_resume();

 private:
  [[nodiscard]] io::File& file() { return output_ ? output_->file() : file_; }
  void open_device(const io::DeviceInventory& inventory, const io::DeviceUsage& usage,
                   const std::vector<std::string>& images);
  [[nodiscard]] bool try_open_exclusively();
  void open_file(const std::vector<std::string>& images, const io::DeviceUsage& usage);
  void lock_file();
  void check_serial() const;
  void check_size() const;

  std::string path_;
  BurnTargetOptions options_;
  std::optional<io::BlockDevice> device_;
  io::QueueLimits queue_;
  std::uint64_t capacity_ = 0;
  std::uint64_t size_before_ = 0;           // of a file that was there
  std::unique_ptr<io::OutputFile> output_;  // of a new file
  io::File file_;                           // of everything else
  std::unique_ptr<io::FileTarget> target_;
  std::optional<io::ClippedTarget> clipped_;  // over target_, for an image larger than it
};

}  // namespace imgtool
