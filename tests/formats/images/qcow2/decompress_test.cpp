#include "formats/images/qcow2/decompress.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <libdeflate.h>
#include <zstd.h>

namespace formats::qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t cluster_size = 65536;

// Repeats after `period` bytes, so it compresses only with a window of at least that.
Bytes periodic(std::size_t period) {
  Bytes content(cluster_size);
  std::uint32_t state = 1;
  for (std::size_t i = 0; i < content.size(); ++i) {
    state = state * 1664525 + 1013904223;
    content[i] = i < period ? static_cast<std::byte>(state >> 24) : content[i - period];
  }
  return content;
}

Bytes deflated(const Bytes& content) {
  Bytes stream(2 * content.size() + 100);
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(9);
  stream.resize(libdeflate_deflate_compress(compressor, content.data(), content.size(),
                                            stream.data(), stream.size()));
  libdeflate_free_compressor(compressor);
  return stream;
}

Bytes zstd_frame(std::span<const std::byte> content) {
  Bytes frame(ZSTD_compressBound(content.size()));
  frame.resize(ZSTD_compress(frame.data(), frame.size(), content.data(), content.size(), 3));
  return frame;
}

Bytes& operator+=(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
  return bytes;
}

// A guard behind the cluster shows writes outside of it.
bool decodes_to(Compression compression, const Bytes& stream, const Bytes& content) {
  Bytes memory(content.size() + 64, std::byte{0xa5});
  const bool good = decompress(compression, stream, std::span(memory).first(content.size()));
  EXPECT_TRUE(std::all_of(memory.end() - 64, memory.end(),
                          [](std::byte byte) { return byte == std::byte{0xa5}; }));
  return good && std::equal(content.begin(), content.end(), memory.begin());
}

TEST(Decompress, TakesTheFullDeflateWindow) {
  const Bytes content = periodic(30000);
  const Bytes stream = deflated(content);
  ASSERT_LT(stream.size(), 40000U);
  EXPECT_TRUE(decodes_to(Compression::deflate, stream, content));
}

TEST(Decompress, IgnoresWhatFollowsTheStream) {
  const Bytes content = periodic(100);
  for (const Compression compression : {Compression::deflate, Compression::zstd}) {
    Bytes stream = compression == Compression::zstd ? zstd_frame(content) : deflated(content);
    for (const std::size_t slack : {1U, 511U}) {
      Bytes longer = stream;
      longer += Bytes(slack, std::byte{0x77});
      EXPECT_TRUE(decodes_to(compression, longer, content));
    }
  }
}

TEST(Decompress, TakesSeveralZstdFrames) {
  const Bytes content = periodic(5000);
  Bytes stream;
  std::size_t at = 0;
  for (const std::size_t length : {1UL, 4095UL, 0UL, 20000UL, cluster_size - 24096}) {
    stream += zstd_frame(std::span(content).subspan(at, length));
    at += length;
  }
  EXPECT_TRUE(decodes_to(Compression::zstd, stream, content));
}

TEST(Decompress, TakesZstdFramesThatDoNotTellTheirSize) {
  const Bytes content = periodic(5000);
  Bytes stream(ZSTD_compressBound(content.size()));
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  stream.resize(
      ZSTD_compress2(context, stream.data(), stream.size(), content.data(), content.size()));
  ZSTD_freeCCtx(context);
  EXPECT_TRUE(decodes_to(Compression::zstd, stream, content));
}

TEST(Decompress, RefusesOtherThanOneCluster) {
  const Bytes content = periodic(300);
  Bytes shorter = content;
  Bytes longer = content;
  shorter.pop_back();
  longer.push_back(std::byte{1});
  for (const Bytes& other : {shorter, longer, Bytes{}}) {
    EXPECT_FALSE(decodes_to(Compression::deflate, deflated(other), content));
    EXPECT_FALSE(decodes_to(Compression::zstd, zstd_frame(other), content));
  }
}

TEST(Decompress, RefusesEveryCutStream) {
  const Bytes content = periodic(300);
  for (const Compression compression : {Compression::deflate, Compression::zstd}) {
    const Bytes stream = compression == Compression::zstd ? zstd_frame(content) : deflated(content);
    for (std::size_t length = 0; length < stream.size(); length += 7) {
      const Bytes cut(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(length));
      EXPECT_FALSE(decodes_to(compression, cut, content)) << length;
    }
  }
}

}  // namespace
}  // namespace formats::qcow2
