#include "formats/images/streams/codec.hpp"

#include <array>
#include <cassert>

#include "formats/images/streams/bzip2.hpp"
#include "formats/images/streams/gzip.hpp"
#include "formats/images/streams/lz4.hpp"
#include "formats/images/streams/lzma.hpp"
#include "formats/images/streams/xz.hpp"
#include "formats/images/zst/zstd.hpp"

namespace formats::streams {
namespace {

// lzma comes last: it has no magic number.
constexpr std::array stream_formats = {Format::gz,  Format::xz,  Format::bz2,
                                       Format::zst, Format::lz4, Format::lzma};

}  // namespace

std::unique_ptr<Codec> make_codec(Format format) {
  if (format == Format::gz) return make_gzip_codec();
  if (format == Format::xz) return make_xz_codec();
  if (format == Format::bz2) return make_bzip2_codec();
  if (format == Format::lz4) return make_lz4_codec();
  if (format == Format::lzma) return make_lzma_codec();
  assert(format == Format::zst);
  return zst::make_zstd_codec();
}

std::optional<Format> recognise(std::span<const std::byte> start) {
  for (const Format format : stream_formats) {
    if (make_codec(format)->can_begin(start)) return format;
  }
  return std::nullopt;
}

}  // namespace formats::streams
