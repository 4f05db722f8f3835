#include "formats/images/qcow2/compress.hpp"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "formats/images/qcow2/decompress.hpp"

namespace formats::qcow2 {
namespace {

std::vector<std::byte> text(std::size_t size) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0x13);
  return bytes;
}

TEST(Compress, IsDecodedAgainAtEveryLevel) {
  const std::vector<std::byte> cluster = text(64 * 1024);
  std::vector<Codec> codecs;
  for (int level = 1; level <= 12; ++level) codecs.push_back({Compression::deflate, level, false});
  for (int level = 1; level <= 9; ++level) codecs.push_back({Compression::deflate, level, true});
  for (int level = 1; level <= 19; ++level) codecs.push_back({Compression::zstd, level, false});
  for (const Codec& codec : codecs) {
    std::vector<std::byte> out(cluster.size());
    const std::size_t bytes = compress(codec, cluster, out);
    ASSERT_GT(bytes, 0U);
    ASSERT_LT(bytes, cluster.size() / 2);
    std::vector<std::byte> again(cluster.size());
    ASSERT_TRUE(decompress(codec.type, std::span(out).first(bytes), again));
    EXPECT_EQ(again, cluster);
    // Contexts are used again, and remember nothing.
    std::vector<std::byte> second(cluster.size());
    ASSERT_EQ(compress(codec, cluster, second), bytes);
    EXPECT_EQ(second, out);
  }
}

TEST(Compress, GivesUpOnWhatDoesNotFit) {
  std::mt19937_64 random(2);
  std::vector<std::byte> noise(4096);
  for (std::byte& byte : noise) byte = static_cast<std::byte>(random());
  std::vector<std::byte> out(4000);
  for (const Codec& codec :
       {Codec{Compression::deflate, 5, false}, Codec{Compression::deflate, 5, true},
        Codec{Compression::zstd, 3, false}}) {
    EXPECT_EQ(compress(codec, noise, out), 0U);
    EXPECT_GT(compress(codec, text(4096), out), 0U);
  }
}

}  // namespace
}  // namespace formats::qcow2
