#include "formats/images/streams/lz4.hpp"

#include <cstdint>
#include <new>

#include <lz4frame.h>

#include "formats/bytes/little_endian.hpp"

namespace formats::streams {
namespace {

constexpr std::uint32_t frame_magic = 0x184D2204;
constexpr std::uint32_t skippable_magic = 0x184D2A50;  // and the 15 behind it

class Lz4Codec final : public Codec {
 public:
  Lz4Codec() {
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION)) != 0) {
      throw std::bad_alloc();
    }
  }
  Lz4Codec(const Lz4Codec&) = delete;
  Lz4Codec& operator=(const Lz4Codec&) = delete;
  ~Lz4Codec() override { LZ4F_freeDecompressionContext(context_); }

  [[nodiscard]] std::string_view name() const override { return "lz4"; }

  // A skippable frame alone may be zstd's as well.
  [[nodiscard]] bool can_begin(std::span<const std::byte> next) const override {
    if (next.size() < 4) return false;
    const auto magic = load_little_endian<std::uint32_t>(next, 0);
    return magic == frame_magic || (begun_ && (magic & ~0xfU) == skippable_magic);
  }

  void begin(std::span<const std::byte>) override {
    begun_ = true;
    LZ4F_resetDecompressionContext(context_);
  }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    std::size_t consumed = in.size();
    std::size_t produced = out.size();
    const std::size_t result =
        LZ4F_decompress(context_, out.data(), &produced, in.data(), &consumed, nullptr);
    if (LZ4F_isError(result) != 0) {
      return {0, 0, false, std::string("is damaged: ") + LZ4F_getErrorName(result)};
    }
    return {consumed, produced, result == 0 && (consumed > 0 || produced > 0)};
  }

 private:
  LZ4F_dctx* context_ = nullptr;
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<Codec> make_lz4_codec() { return std::make_unique<Lz4Codec>(); }

}  // namespace formats::streams
