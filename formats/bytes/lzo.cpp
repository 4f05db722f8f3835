#include "formats/bytes/lzo.hpp"

#include <algorithm>
#include <cstdint>

#include "formats/bytes/little_endian.hpp"

namespace formats {
namespace {

// Reading or writing past an end makes it broken, and ends the work.
class Lzo {
 public:
  Lzo(std::span<const std::byte> stream, std::span<std::byte> out) : stream_(stream), out_(out) {}

  std::optional<std::size_t> run() {
    begin();
    while (!broken_ && !ended_) instruction();
    if (broken_) return std::nullopt;
    return filled_;
  }

 private:
  // How many literals the last instruction ended with; `many` after a run of them.
  static constexpr unsigned many = 4;

  unsigned byte() {
    if (at_ == stream_.size()) {
      broken_ = true;
      return 0;
    }
    return std::to_integer<unsigned>(stream_[at_++]);
  }
  unsigned word() {
    const unsigned low = byte();
    return low | (byte() << 8);
  }

  void begin() {
    if (stream_.empty() || std::to_integer<unsigned>(stream_[0]) <= 17) return;
    const unsigned count = byte() - 17;
    literals(count);
    state_ = std::min(count, many);
  }

  void literals(std::size_t count) {
    if (count > stream_.size() - at_ || count > out_.size() - filled_) {
      broken_ = true;
      return;
    }
    std::copy_n(stream_.begin() + static_cast<std::ptrdiff_t>(at_), count,
                out_.begin() + static_cast<std::ptrdiff_t>(filled_));
    at_ += count;
    filled_ += count;
  }

  void copy(std::size_t distance, std::size_t length, unsigned then) {
    if (broken_ || distance > filled_ || length > out_.size() - filled_) {
      broken_ = true;
      return;
    }
    for (; length > 0; --length, ++filled_) out_[filled_] = out_[filled_ - distance];
    literals(then);
    state_ = then;
  }

  // `field`, or where it is 0 what follows: 255 for each zero byte, then a byte, and `most`.
  std::size_t length_of(unsigned field, unsigned most) {
    if (field != 0) return field;
    std::size_t length = most;
    unsigned next = byte();
    for (; next == 0 && !broken_; next = byte()) length += 255;
    return length + next;
  }

  void instruction() {
    const unsigned code = byte();
    if (broken_) return;
    if (code >= 64) {
      const std::size_t length = code >= 128 ? 5 + (code >> 5 & 3) : 3 + (code >> 5 & 1);
      const std::size_t distance = (std::size_t{byte()} << 3) + (code >> 2 & 7) + 1;
      copy(distance, length, code & 3);
    } else if (code >= 32) {
      const std::size_t length = 2 + length_of(code & 31, 31);
      const unsigned tail = word();
      copy((tail >> 2) + 1, length, tail & 3);
    } else if (code >= 16) {
      const std::size_t length = 2 + length_of(code & 7, 7);
      const unsigned tail = word();
      const std::size_t distance = (std::size_t{code & 8} << 11) + (tail >> 2);
      if (distance == 0) {
        ended_ = true;
        return;
      }
      copy(16384 + distance, length, tail & 3);
    } else if (state_ == 0) {
      literals(3 + length_of(code, 15));
      state_ = many;
    } else {
      const std::size_t distance = (std::size_t{byte()} << 2) + (code >> 2);
      if (state_ == many) {
        copy(distance + 2049, 3, code & 3);
      } else {
        copy(distance + 1, 2, code & 3);
      }
    }
  }

  std::span<const std::byte> stream_;
  std::span<std::byte> out_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  unsigned state_ = 0;
  bool broken_ = false;
  bool ended_ = false;
};

}  // namespace

std::optional<std::size_t> decode_lzo1x(std::span<const std::byte> stream,
                                        std::span<std::byte> out) {
  return Lzo(stream, out).run();
}

std::optional<std::size_t> decode_btrfs_lzo(std::span<const std::byte> stream,
                                            std::span<std::byte> out) {
  constexpr std::size_t sector = 4096;
  constexpr std::size_t header = 4;
  if (stream.size() < header) return std::nullopt;
  const std::size_t end = load_little_endian<std::uint32_t>(stream, 0);
  if (end > stream.size()) return std::nullopt;
  std::size_t filled = 0;
  for (std::size_t at = header; at < end && filled < out.size();) {
    if (sector - at % sector < header) at += sector - at % sector;
    if (at > end || end - at < header) return std::nullopt;
    const std::size_t length = load_little_endian<std::uint32_t>(stream, at);
    at += header;
    if (length > end - at) return std::nullopt;
    const auto place = out.subspan(filled, std::min(sector, out.size() - filled));
    const auto count = decode_lzo1x(stream.subspan(at, length), place);
    if (!count) return std::nullopt;
    filled += *count;
    at += length;
  }
  return filled;
}

}  // namespace formats
