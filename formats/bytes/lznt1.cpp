#include "formats/bytes/lznt1.hpp"

#include <algorithm>
#include <cstdint>

#include "formats/bytes/little_endian.hpp"

namespace formats {
namespace {

constexpr std::size_t chunk_size = 4096;

// The content of one compressed chunk; how many bytes came of it.
class Chunk {
 public:
  Chunk(std::span<const std::byte> stream, std::span<std::byte> out) : stream_(stream), out_(out) {}

  std::optional<std::size_t> run() {
    while (at_ < stream_.size() && filled_ < out_.size()) {
      const auto flags = std::to_integer<unsigned>(stream_[at_++]);
      for (unsigned bit = 0; bit < 8 && at_ < stream_.size() && filled_ < out_.size(); ++bit) {
        if ((flags >> bit & 1U) == 0) {
          out_[filled_++] = stream_[at_++];
        } else if (!copy()) {
          return std::nullopt;
        }
      }
    }
    return filled_;
  }

 private:
  // A word of a distance and a length: the more is there to go back to, the more bits of it are
  // the distance's.
  bool copy() {
    if (filled_ == 0 || stream_.size() - at_ < 2) return false;
    const unsigned word = load_little_endian<std::uint16_t>(stream_, at_);
    at_ += 2;
    unsigned length_bits = 12;
    for (std::size_t position = filled_ - 1; position >= 0x10; position >>= 1) --length_bits;
    const std::size_t distance = (word >> length_bits) + 1;
    const std::size_t length = (word & ((1U << length_bits) - 1)) + 3;
    if (distance > filled_) return false;
    const std::size_t end = std::min(filled_ + length, out_.size());
    for (; filled_ < end; ++filled_) out_[filled_] = out_[filled_ - distance];
    return true;
  }

  std::span<const std::byte> stream_;
  std::span<std::byte> out_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace

std::optional<std::size_t> decode_lznt1(std::span<const std::byte> stream,
                                        std::span<std::byte> out) {
  std::size_t filled = 0;
  while (filled < out.size() && stream.size() >= 2) {
    const unsigned header = load_little_endian<std::uint16_t>(stream, 0);
    if (header == 0) break;
    const std::size_t length = (header & 0xfffU) + 1;
    const bool compressed = (header & 0x8000U) != 0;
    if (length > stream.size() - 2) return std::nullopt;
    const auto chunk = stream.subspan(2, length);
    const auto place = out.subspan(filled, std::min(chunk_size, out.size() - filled));
    std::size_t count = std::min(length, place.size());
    if (compressed) {
      const auto decoded = Chunk(chunk, place).run();
      if (!decoded) return std::nullopt;
      count = *decoded;
    } else {
      std::copy_n(chunk.begin(), count, place.begin());
    }
    // Chunks stand for 4096 bytes, whatever they hold of them.
    std::fill(place.begin() + static_cast<std::ptrdiff_t>(count), place.end(), std::byte{0});
    filled += place.size();
    stream = stream.subspan(2 + length);
  }
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(filled), out.end(), std::byte{0});
  return filled;
}

}  // namespace formats
