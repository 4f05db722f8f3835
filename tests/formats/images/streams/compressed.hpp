// Content, compressed by the libraries themselves.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>

#include "formats/images/format.hpp"
#include "formats/images/zst/zstd.hpp"

namespace formats::streams {

using Bytes = std::vector<std::byte>;

inline Bytes gzip(std::span<const std::byte> content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  Bytes out(deflateBound(&stream, content.size()));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("deflate");
  return out;
}

inline Bytes bzip2(std::span<const std::byte> content) {
  Bytes out(content.size() + content.size() / 100 + 600);
  auto length = static_cast<unsigned>(out.size());
  std::byte nothing{};  // libbz2 takes no null pointer
  const std::byte* source = content.empty() ? &nothing : content.data();
  const int result =
      BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(out.data()), &length,
                               reinterpret_cast<char*>(const_cast<std::byte*>(source)),
                               static_cast<unsigned>(content.size()), 1, 0, 0);
  if (result != BZ_OK) throw std::runtime_error("bzip2");
  out.resize(length);
  return out;
}

// In blocks of `block_size` that say how long they are, as xz -T makes them.
inline Bytes xz(std::span<const std::byte> content, std::uint64_t block_size = 1 << 16) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_mt options{};
  options.threads = 1;
  options.block_size = block_size;
  options.preset = 0;
  options.check = LZMA_CHECK_CRC64;
  if (lzma_stream_encoder_mt(&stream, &options) != LZMA_OK) throw std::runtime_error("xz");
  Bytes out(content.size() + content.size() / 10 + (1 << 16));
  stream.next_in = reinterpret_cast<const std::uint8_t*>(content.data());
  stream.avail_in = content.size();
  stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
  stream.avail_out = out.size();
  const lzma_ret result = lzma_code(&stream, LZMA_FINISH);
  out.resize(stream.total_out);
  lzma_end(&stream);
  if (result != LZMA_STREAM_END) throw std::runtime_error("xz");
  return out;
}

inline Bytes zstd(std::span<const std::byte> content) { return zst::encode_frame(content, 1); }

inline Bytes compressed(Format format, std::span<const std::byte> content) {
  if (format == Format::gz) return gzip(content);
  if (format == Format::bz2) return bzip2(content);
  return format == Format::xz ? xz(content) : zstd(content);
}

inline Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace formats::streams
