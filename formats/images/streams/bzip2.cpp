#include "formats/images/streams/bzip2.hpp"

#include <algorithm>
#include <limits>
#include <new>

#include <bzlib.h>

namespace formats::streams {
namespace {

constexpr auto most_for_bzlib = std::size_t{std::numeric_limits<unsigned>::max()};

class Bzip2Codec final : public Codec {
 public:
  Bzip2Codec() { open(); }
  Bzip2Codec(const Bzip2Codec&) = delete;
  Bzip2Codec& operator=(const Bzip2Codec&) = delete;
  ~Bzip2Codec() override { BZ2_bzDecompressEnd(&stream_); }

  [[nodiscard]] std::string_view name() const override { return "bzip2"; }

  [[nodiscard]] bool can_begin(std::span<const std::byte> next) const override {
    return next.size() >= 4 && next[0] == std::byte{'B'} && next[1] == std::byte{'Z'} &&
           next[2] == std::byte{'h'} && next[3] >= std::byte{'1'} && next[3] <= std::byte{'9'};
  }

  void begin(std::span<const std::byte>) override {
    BZ2_bzDecompressEnd(&stream_);
    open();
  }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    in = in.first(std::min(in.size(), most_for_bzlib));
    out = out.first(std::min(out.size(), most_for_bzlib));
    // libbz2 does not write to its input.
    stream_.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(in.data()));
    stream_.avail_in = static_cast<unsigned>(in.size());
    stream_.next_out = reinterpret_cast<char*>(out.data());
    stream_.avail_out = static_cast<unsigned>(out.size());
    const int result = BZ2_bzDecompress(&stream_);
    Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out,
              result == BZ_STREAM_END};
    if (result == BZ_MEM_ERROR) throw std::bad_alloc();
    if (result != BZ_OK && result != BZ_STREAM_END) step.fault = "is damaged";
    return step;
  }

 private:
  void open() {
    stream_ = {};
    if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) throw std::bad_alloc();
  }

  bz_stream stream_{};
};

}  // namespace

std::unique_ptr<Codec> make_bzip2_codec() { return std::make_unique<Bzip2Codec>(); }

}  // namespace formats::streams
