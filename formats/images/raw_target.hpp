// A raw image that is being written: the guest's disk byte for byte, with holes for zeros.
#pragma once

#include <optional>

#include "formats/images/image_target.hpp"
#include "io/file.hpp"
#include "io/file_target.hpp"

namespace formats {

struct RawTargetOptions {
  bool starts_as_zeros = true;  // an empty file: zeros are there already
  // Runs of zeros shorter than this are written; a power of two. At least what O_DIRECT wants is
  // taken.
  std::uint64_t smallest_hole = 4 * io::KiB;
  bool set_space_aside = false;  // before anything is written; needs the size
  bool write_zeros = false;      // no holes at all
};

class RawTarget final : public ImageTarget {
 public:
  // `file` is a regular one, open for reading and writing, and outlives the target. `size` is
  // unknown for a stream. Throws Error.
  RawTarget(io::Ring& ring, io::File& file, std::optional<std::uint64_t> size,
            const RawTargetOptions& options);

  [[nodiscard]] const std::string& name() const override { return file_.name(); }
  [[nodiscard]] std::uint64_t capacity() const override { return file_.capacity(); }
  [[nodiscard]] std::uint64_t zero_grain() const override;
  io::Task<> write(std::uint64_t offset, io::Buffer buffer) override;
  io::Task<> zero(io::ByteRange range) override;
  io::Task<> flush() override { return file_.flush(); }

  [[nodiscard]] std::uint64_t granularity() const override { return 1; }
  io::Task<> finish() override;
  [[nodiscard]] std::uint64_t content_bytes() const override { return content_bytes_; }
  [[nodiscard]] std::uint64_t file_bytes() const override { return end_; }

 private:
  const io::File& output_;
  std::optional<std::uint64_t> size_;
  RawTargetOptions options_;
  io::FileTarget file_;
  std::uint64_t content_bytes_ = 0;
  std::uint64_t end_ = 0;  // of what was written or zeroed
};

}  // namespace formats
