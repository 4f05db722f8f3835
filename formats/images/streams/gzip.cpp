#include "formats/images/streams/gzip.hpp"

#include <algorithm>
#include <limits>
#include <new>

#include <zlib.h>

namespace formats::streams {
namespace {

constexpr int gzip_only = 16;  // added to the window bits: no zlib or raw header is taken
constexpr auto most_for_zlib = std::size_t{std::numeric_limits<uInt>::max()};

// What zlib decodes; what stands around it is said by those below.
class ZlibCodec : public Codec {
 public:
  explicit ZlibCodec(int window_bits) {
    if (inflateInit2(&stream_, window_bits) != Z_OK) throw std::bad_alloc();
  }
  ZlibCodec(const ZlibCodec&) = delete;
  ZlibCodec& operator=(const ZlibCodec&) = delete;
  ~ZlibCodec() override { inflateEnd(&stream_); }

  void begin(std::span<const std::byte>) override { inflateReset(&stream_); }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    in = in.first(std::min(in.size(), most_for_zlib));
    out = out.first(std::min(out.size(), most_for_zlib));
    // zlib does not write to its input.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    stream_.msg = nullptr;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out, result == Z_STREAM_END};
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      step.fault = stream_.msg != nullptr ? std::string("is damaged: ") + stream_.msg
                                          : std::string("is damaged");
    }
    return step;
  }

 private:
  z_stream stream_{};
};

class GzipCodec final : public ZlibCodec {
 public:
  GzipCodec() : ZlibCodec(MAX_WBITS + gzip_only) {}

  [[nodiscard]] std::string_view name() const override { return "gzip"; }

  [[nodiscard]] bool can_begin(std::span<const std::byte> next) const override {
    return next.size() >= 3 && next[0] == std::byte{0x1f} && next[1] == std::byte{0x8b} &&
           next[2] == std::byte{8};
  }
};

class DeflateCodec final : public ZlibCodec {
 public:
  DeflateCodec() : ZlibCodec(-MAX_WBITS) {}

  [[nodiscard]] std::string_view name() const override { return "deflate"; }
  [[nodiscard]] bool can_begin(std::span<const std::byte>) const override { return !begun_; }

  void begin(std::span<const std::byte> next) override {
    begun_ = true;
    ZlibCodec::begin(next);
  }

 private:
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<Codec> make_gzip_codec() { return std::make_unique<GzipCodec>(); }
std::unique_ptr<Codec> make_deflate_codec() { return std::make_unique<DeflateCodec>(); }

}  // namespace formats::streams
