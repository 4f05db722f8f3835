// A filter for those who know that an image's holes never mattered: they are skipped, and the
// target keeps there what it had.
#pragma once

#include "io/source.hpp"

namespace io {

class SkipHoles final : public Source {
 public:
  // `image` outlives the filter.
  explicit SkipHoles(Source& image) : image_(image) {}

  [[nodiscard]] const std::string& name() const override { return image_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return image_.size(); }
  [[nodiscard]] bool seekable() const override { return image_.seekable(); }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override {
    Extent extent = image_.extent_at(offset);
    if (extent.kind == ExtentKind::hole) extent.kind = ExtentKind::skip;
    return extent;
  }
  Task<std::size_t> read(ByteRange range, Buffer buffer) override {
    return image_.read(range, buffer);
  }

 private:
  Source& image_;
};

}  // namespace io
