// A block device or a regular file, written at its own offsets.
#pragma once

#include "io/file.hpp"
#include "io/target.hpp"
#include "io/transfer.hpp"

namespace io {

// How zeros get onto a target, best first. The first that works is remembered. A plain discard
// is not among them: it does not promise zeros.
enum class ZeroMethod : std::uint8_t {
  punch_hole,  // gives the space back where the device can (WRITE ZEROES with unmap)
  zero_range,  // keeps the space
  zero_out,    // ioctl BLKZEROOUT, for kernels before 4.9
  write,       // plain zeros
};

struct FileTargetOptions {
  bool direct = true;            // past the page cache, where the file can
  bool starts_as_zeros = false;  // a file just made: zeros are there already
  ZeroMethod first_zero_method = ZeroMethod::punch_hole;
  // The file gets its length from its owner in the end. Until then it is made longer ahead of the
  // writes, since file systems do those behind its end one after the other.
  bool grows = false;
};

class FileTarget final : public Target {
 public:
  // `file` is open for reading and writing and outlives the target. `capacity` as Target says.
  FileTarget(Ring& ring, File& file, std::uint64_t capacity, const FileTargetOptions& options);
  ~FileTarget() override;
  FileTarget(const FileTarget&) = delete;
  FileTarget& operator=(const FileTarget&) = delete;

  [[nodiscard]] const std::string& name() const override { return file_.path; }
  [[nodiscard]] std::uint64_t capacity() const override { return capacity_; }
  [[nodiscard]] std::uint64_t zero_grain() const override;
  Task<> write(std::uint64_t offset, Buffer buffer) override;
  Task<> zero(ByteRange range) override;
  Task<> flush() override;

  [[nodiscard]] bool direct() const noexcept { return alignment_.offset > 1; }

 private:
  Task<> write_aligned(std::uint64_t offset, Buffer buffer);
  void grow_to(std::uint64_t end);
  // Changes a part of one sector and leaves the rest of it as it is.
  Task<> write_within_sector(std::uint64_t offset, std::span<const std::byte> bytes);
  Task<> zero_aligned(ByteRange range);
  Task<> write_zeros(ByteRange range);
  [[nodiscard]] Task<std::int64_t> try_zero(ZeroMethod method, ByteRange range);

  Ring& ring_;
  NamedFile file_;
  std::uint64_t capacity_;
  bool block_device_ = false;
  bool starts_as_zeros_;
  bool grows_;
  std::uint64_t length_ = 0;  // of a file that grows, as far as we made it
  Alignment alignment_{};
  std::uint32_t sector_ = 1;  // what a zeroing request is a multiple of
  ZeroMethod zero_method_;
  std::uint64_t unflushed_ = 0;  // bytes in the page cache since the last flush
};

}  // namespace io
