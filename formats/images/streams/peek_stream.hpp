// A stream whose first bytes can be looked at before they are read.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "io/byte_stream.hpp"

namespace formats::streams {

class PeekStream final : public io::ByteStream {
 public:
  explicit PeekStream(std::unique_ptr<io::ByteStream> stream) : stream_(std::move(stream)) {}

  // The first `count` bytes, unless the stream ends before; asked once, before anything is read.
  std::span<const std::byte> peek(std::size_t count) {
    start_.resize(count);
    start_.resize(io::read_fully(*stream_, start_));
    return start_;
  }

  // What peek() gave.
  [[nodiscard]] std::span<const std::byte> start() const { return start_; }

  std::size_t read(std::span<std::byte> buffer) override {
    if (given_ == start_.size()) return stream_->read(buffer);
    const std::size_t count = std::min(buffer.size(), start_.size() - given_);
    std::copy_n(start_.begin() + static_cast<std::ptrdiff_t>(given_), count, buffer.begin());
    given_ += count;
    return count;
  }

 private:
  std::unique_ptr<io::ByteStream> stream_;
  std::vector<std::byte> start_;
  std::size_t given_ = 0;
};

}  // namespace formats::streams
