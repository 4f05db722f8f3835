// A disk whose parts are images of their own, one behind the other: what a descriptor makes of
// several files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/images/image.hpp"
#include "io/byte_range.hpp"
#include "io/file.hpp"

namespace formats {

struct ImagePart {
  std::uint64_t length = 0;      // bytes of the disk; not 0
  std::unique_ptr<Image> image;  // which has them at `offset`; null: zeros
  std::uint64_t offset = 0;
};

class JoinedImage final : public Image {
 public:
  // `descriptor` is the file that names the parts, which are seekable and as long as they have to
  // be; there is at least one.
  JoinedImage(io::Ring& ring, Format format, io::File descriptor, std::vector<ImagePart> parts);

  [[nodiscard]] const std::string& name() const override { return descriptor_.path(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return begins_.back(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  [[nodiscard]] Format format() const override { return format_; }
  [[nodiscard]] std::uint64_t cluster_size() const override;
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override;

 private:
  [[nodiscard]] std::size_t part_at(std::uint64_t offset) const;

  io::Ring& ring_;
  Format format_;
  io::File descriptor_;
  std::vector<ImagePart> parts_;
  std::vector<std::uint64_t> begins_;  // of each part on the disk; then the disk's size
};

}  // namespace formats
