// An image that lies in another file: the member of an archive, or what a stream holds.
#pragma once

#include <memory>

#include "formats/images/archives/background_check.hpp"
#include "formats/images/image.hpp"

namespace formats {

class ContainedImage final : public Image {
 public:
  // Where a part of `container` is the image's own file.
  struct Place {
    std::unique_ptr<io::File> container;
    Format format = Format::raw;          // the container's
    std::optional<std::uint64_t> offset;  // of the image in it; nothing: it is unpacked first
    std::unique_ptr<archives::BackgroundCheck> check;  // of all of the image's file; may be null
  };

  ContainedImage(std::unique_ptr<Image> image, Place place)
      : place_(std::move(place)), image_(std::move(image)) {}

  [[nodiscard]] const std::string& name() const override { return image_->name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return image_->size(); }
  [[nodiscard]] bool seekable() const override { return image_->seekable(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return image_->extent_at(offset);
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    return image_->read(range, buffer);
  }

  [[nodiscard]] Format format() const override { return place_.format; }
  [[nodiscard]] std::uint64_t cluster_size() const override { return image_->cluster_size(); }
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override {
    return {place_.container.get()};
  }
  void confirm() override;

 private:
  Place place_;
  std::unique_ptr<Image> image_;
};

}  // namespace formats
