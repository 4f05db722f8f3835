// A part of a source, shown as if it were all of it.
#pragma once

#include <cassert>

#include "io/source.hpp"

namespace io {

class WindowSource final : public Source {
 public:
  // `whole` is seekable, holds `window`, and outlives this.
  WindowSource(Source& whole, ByteRange window) : whole_(whole), window_(window) {
    assert(whole.seekable() && window.end() <= whole.size().value());
  }

  [[nodiscard]] const std::string& name() const override { return whole_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return window_.length; }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override {
    Extent extent = whole_.extent_at(window_.offset + offset);
    const ByteRange inside = intersection(extent.range, window_);
    extent.range = {inside.offset - window_.offset, inside.length};
    return extent;
  }
  Task<std::size_t> read(ByteRange range, Buffer buffer) override {
    return whole_.read({window_.offset + range.offset, range.length}, buffer);
  }

 private:
  Source& whole_;
  ByteRange window_;
};

}  // namespace io
