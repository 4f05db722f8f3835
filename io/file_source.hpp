// The bytes of a regular file or a block device, at their own offsets.
#pragma once

#include "io/file.hpp"
#include "io/source.hpp"
#include "io/transfer.hpp"

namespace io {

class FileSource final : public Source {
 public:
  // Shows `size` bytes of `file` from its start. Reads past the page cache where `direct` and
  // the file can. `file` outlives the source, and keeps its O_DIRECT flag.
  FileSource(Ring& ring, File& file, std::uint64_t size, bool direct);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  [[nodiscard]] const std::string& name() const override { return file_.path; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override;
  Task<std::size_t> read(ByteRange range, Buffer buffer) override;

  [[nodiscard]] bool direct() const noexcept { return alignment_.offset > 1; }

 private:
  [[nodiscard]] bool is_aligned(ByteRange range, Buffer buffer) const noexcept;
  Task<> read_unaligned(ByteRange range, Buffer buffer);
  [[nodiscard]] Extent find_extent(std::uint64_t offset) const;

  Ring& ring_;
  NamedFile file_;
  std::uint64_t base_;  // where the file begins in what its descriptor opens
  std::uint64_t size_;
  Alignment alignment_{};
  bool has_holes_ = false;  // SEEK_DATA works here
  Extent last_{};
};

}  // namespace io
