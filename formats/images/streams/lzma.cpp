#include "formats/images/streams/lzma.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <new>

#include <lzma.h>

#include "formats/bytes/little_endian.hpp"
#include "io/byte_range.hpp"

namespace formats::streams {
namespace {

constexpr std::uint64_t most_lzma_memory = 192 * io::MiB;
constexpr std::size_t alone_header_bytes =
    13;  // properties, size of the dictionary, size of the content
constexpr std::uint64_t unknown_size = ~std::uint64_t{0};
constexpr std::uint64_t most_content = (std::uint64_t{1} << 48) - 1;

class LzmaCodec : public Codec {
 public:
  LzmaCodec() = default;
  LzmaCodec(const LzmaCodec&) = delete;
  LzmaCodec& operator=(const LzmaCodec&) = delete;
  ~LzmaCodec() override { lzma_end(&stream_); }

  [[nodiscard]] std::string_view name() const override { return "lzma"; }

  // By what all programs write: properties, a dictionary of 2^n or 2^n + 2^(n-1) bytes, and a size
  // that a disk can have, or none.
  [[nodiscard]] bool can_begin(std::span<const std::byte> next) const override {
    if (begun_ || next.size() < alone_header_bytes || next[0] != std::byte{0x5d}) return false;
    const auto dictionary = load_little_endian<std::uint32_t>(next, 1);
    const auto size = load_little_endian<std::uint64_t>(next, 5);
    const std::uint32_t power = std::bit_floor(dictionary);
    const bool round = dictionary >= 4096 && (dictionary == power || dictionary == power / 2 * 3);
    return round && (size == unknown_size || (size > 0 && size <= most_content));
  }

  void begin(std::span<const std::byte>) override {
    begun_ = true;
    if (lzma_alone_decoder(&stream_, most_lzma_memory) != LZMA_OK) throw std::bad_alloc();
  }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    stream_.avail_in = in.size();
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream_.avail_out = out.size();
    const lzma_ret result = lzma_code(&stream_, in.empty() ? LZMA_FINISH : LZMA_RUN);
    Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out,
              result == LZMA_STREAM_END};
    if (result == LZMA_MEM_ERROR) throw std::bad_alloc();
    if (result == LZMA_MEMLIMIT_ERROR) {
      step.fault = "needs more than 192 MiB of memory to be decoded";
    } else if (result != LZMA_OK && result != LZMA_STREAM_END && result != LZMA_BUF_ERROR) {
      step.fault = "is damaged";
    }
    return step;
  }

 protected:
  [[nodiscard]] bool begun() const noexcept { return begun_; }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool begun_ = false;
};

// Its own header: a version, the length of the properties (5), and these. The size of the content
// stands in the zip directory.
class ZipLzmaCodec final : public LzmaCodec {
 public:
  explicit ZipLzmaCodec(std::uint64_t size) : size_(size) {}

  [[nodiscard]] bool can_begin(std::span<const std::byte>) const override { return !begun(); }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    if (header_at_ == own_header_bytes) return LzmaCodec::step(in, out);
    Step step;
    step.consumed = std::min(in.size(), own_header_bytes - header_at_);
    std::copy_n(in.begin(), step.consumed,
                header_.begin() + static_cast<std::ptrdiff_t>(header_at_));
    header_at_ += step.consumed;
    if (header_at_ == own_header_bytes && !take_header(out)) step.fault = "has an unknown header";
    return step;
  }

 private:
  static constexpr std::size_t own_header_bytes = 9;
  static constexpr std::size_t properties_at = 4;

  // Hands it to liblzma as it stands in a file of its own.
  bool take_header(std::span<std::byte> out) {
    if (load_little_endian<std::uint16_t>(header_, 2) != 5) return false;
    std::array<std::byte, alone_header_bytes> alone{};
    std::copy_n(header_.begin() + properties_at, 5, alone.begin());
    for (std::size_t i = 0; i < 8; ++i) alone[5 + i] = static_cast<std::byte>(size_ >> (8 * i));
    const Step step = LzmaCodec::step(alone, out);
    return step.fault.empty() && step.consumed == alone.size() && step.produced == 0;
  }

  std::uint64_t size_;
  std::array<std::byte, own_header_bytes> header_{};
  std::size_t header_at_ = 0;
};

}  // namespace

std::unique_ptr<Codec> make_lzma_codec() { return std::make_unique<LzmaCodec>(); }

std::unique_ptr<Codec> make_zip_lzma_codec(std::uint64_t size) {
  return std::make_unique<ZipLzmaCodec>(size);
}

}  // namespace formats::streams
