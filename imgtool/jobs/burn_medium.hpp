// The media of real targets: a block device, or a file that stands in for one.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "imgtool/jobs/burn_place.hpp"
#include "io/clipped_target.hpp"
#include "io/file.hpp"
#include "io/file_target.hpp"
#include "io/output_file.hpp"

namespace imgtool {

struct MediumOptions {
  std::uint64_t capacity = 0;                 // bytes that fit
  std::optional<std::uint64_t> content_size;  // bytes to be written; nothing for a stream
  io::FileTargetOptions writing;
};

// An open file or device, written through a target and read back past the page cache.
class WritableFile {
 public:
  // `file` outlives it.
  WritableFile(io::Ring& ring, io::File& file, const MediumOptions& options);

  [[nodiscard]] io::Target& target();
  // Whether both ways lead past the page cache.
  [[nodiscard]] bool writes_direct() const { return target_.direct(); }
  [[nodiscard]] bool reads_direct() const { return writes_direct() || reader_.is_open(); }
  [[nodiscard]] std::unique_ptr<io::Source> reader(std::uint64_t size);

 private:
  io::Ring& ring_;
  io::File& file_;
  io::FileTarget target_;
  std::optional<io::ClippedTarget> clipped_;  // over target_, for an image larger than it
  io::File reader_;  // opened for direct I/O where `file` is written through the cache
};

// A loop device passes requests to the page cache of its backing file unless it is in direct
// mode. Turns that mode on for as long as this lives, where the device can.
class LoopDirectMode {
 public:
  // `fd` is open on a block device of any kind, and outlives this.
  explicit LoopDirectMode(int fd);
  LoopDirectMode(const LoopDirectMode&) = delete;
  LoopDirectMode& operator=(const LoopDirectMode&) = delete;
  ~LoopDirectMode();

  // False for a loop device that still passes requests to a page cache.
  [[nodiscard]] bool past_cache() const noexcept { return past_cache_; }

 private:
  int fd_;
  bool past_cache_ = true;
  bool switched_ = false;
};

class DeviceMedium final : public BurnMedium {
 public:
  // `device` is open O_EXCL and outlives it.
  DeviceMedium(io::Ring& ring, io::File& device, const MediumOptions& options);

  [[nodiscard]] io::Target& target() override { return file_.target(); }
  [[nodiscard]] std::unique_ptr<io::Source> read_back(std::uint64_t size) override;
  [[nodiscard]] bool reads_past_cache() const override;
  void settle(std::uint64_t) override {}
  std::string finish(std::uint64_t size) override;

  [[nodiscard]] bool writes_direct() const { return file_.writes_direct(); }

 private:
  [[nodiscard]] bool drop_cache();

  io::File& device_;
  LoopDirectMode loop_;
  WritableFile file_;
  bool cache_dropped_;
};

class FileMedium final : public BurnMedium {
 public:
  // `file` outlives it. `output` is the unpublished file of that descriptor, or null for one that
  // is written in place. `least_size`: what the file was long before.
  FileMedium(io::Ring& ring, io::File& file, io::OutputFile* output, std::uint64_t least_size,
             const MediumOptions& options);

  [[nodiscard]] io::Target& target() override { return file_.target(); }
  [[nodiscard]] std::unique_ptr<io::Source> read_back(std::uint64_t size) override;
  [[nodiscard]] bool reads_past_cache() const override { return file_.reads_direct(); }
  void settle(std::uint64_t size) override;
  std::string finish(std::uint64_t size) override;

  [[nodiscard]] bool writes_direct() const { return file_.writes_direct(); }

 private:
  io::File& plain_;
  io::OutputFile* output_;
  std::uint64_t least_size_;
  WritableFile file_;
};

}  // namespace imgtool
