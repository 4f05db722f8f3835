// A raw image: the guest's disk, byte for byte, in a file or on a block device.
#pragma once

#include "formats/images/image.hpp"
#include "io/file.hpp"
#include "io/file_source.hpp"

namespace formats {

class RawImage final : public Image {
 public:
  // `direct`: past the page cache, where the file can be read so.
  RawImage(io::Ring& ring, io::File file, bool direct)
      : file_(std::move(file)), source_(ring, file_, file_.size(), direct) {}

  [[nodiscard]] const std::string& name() const override { return source_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return source_.size(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return source_.extent_at(offset);
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    return source_.read(range, buffer);
  }

  [[nodiscard]] Format format() const override { return Format::raw; }
  [[nodiscard]] std::uint64_t cluster_size() const override { return 1; }
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override { return {&file_}; }

 private:
  io::File file_;
  io::FileSource source_;
};

}  // namespace formats
