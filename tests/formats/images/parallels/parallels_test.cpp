// The header and the table of a Parallels image.
#include "formats/images/parallels/parallels.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "formats/bytes/little_endian.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats::parallels {
namespace {

using io::ErrorKind;
using testing_blocks::expect_refused;
using testing_blocks::file_of;
using testing_blocks::runs_of;

constexpr std::uint64_t cluster = 4096;

class Parallels : public testing::Test {
 protected:
  Parallels() : bytes_(3 * cluster) {
    put_magic("WithouFreSpacExt");
    put<std::uint32_t>(16, 2);
    put<std::uint32_t>(28, 8);
    put<std::uint32_t>(32, 3);
    put<std::uint64_t>(36, 23);
    put<std::uint32_t>(48, 8);
    put<std::uint32_t>(64, 2);
    put<std::uint32_t>(72, 1);
  }
  void put_magic(std::string_view magic) {
    std::ranges::transform(magic, bytes_.begin(), [](char c) { return std::byte(c); });
  }
  template <class Word>
  void put(std::size_t at, Word value) {
    store_little_endian<Word>(std::span(bytes_), at, value);
  }
  template <class Word>
  void refused(std::size_t at, Word value, const std::string& words,
               ErrorKind kind = ErrorKind::format) {
    const std::vector<std::byte> good = bytes_;
    put<Word>(at, value);
    const io::File file = file_of(bytes_);
    expect_refused(kind, words, [&] { return open_map(file); });
    bytes_ = good;
  }

  std::vector<std::byte> bytes_;
};

TEST_F(Parallels, EveryFieldIsUnderstood) {
  put<std::uint32_t>(44, 0x746f6e59);
  const Header header = read_header(file_of(bytes_));
  EXPECT_TRUE(header.places_in_clusters);
  EXPECT_EQ(header.cluster_size, cluster);
  EXPECT_EQ(header.entries, 3U);
  EXPECT_EQ(header.virtual_size, 23U * 512);
  EXPECT_EQ(header.data_at, cluster);
  EXPECT_TRUE(header.in_use);
}

TEST_F(Parallels, TheMapTellsKindsAndPlaces) {
  const io::File file = file_of(bytes_);
  const auto runs = runs_of(*open_map(file));
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].host, 2 * cluster);
  EXPECT_EQ(runs[1].kind, BlockKind::absent);
  EXPECT_EQ(runs[2].host, cluster);
  EXPECT_EQ(runs[2].length, cluster - 512);
}

TEST_F(Parallels, TheOlderKindCountsInSectors) {
  put_magic("WithoutFreeSpace");
  put<std::uint32_t>(40, 0x12345678);  // no part of the size
  put<std::uint32_t>(64, 16);
  put<std::uint32_t>(72, 8);
  const io::File file = file_of(bytes_);
  const auto runs = runs_of(*open_map(file));
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].host, 2 * cluster);
  EXPECT_EQ(runs[2].host, cluster);
}

TEST_F(Parallels, EveryFieldIsBounded) {
  refused(0, std::uint8_t{'w'}, "is not a Parallels image");
  refused(16, std::uint32_t{1}, "version 1", ErrorKind::unsupported);
  refused(28, std::uint32_t{0}, "a cluster of 0");
  refused(28, ~std::uint32_t{0}, "is impossible");
  refused(32, std::uint32_t{2}, "its clusters only");
  refused(32, std::uint32_t{4096}, "past the end");
  refused(32, ~std::uint32_t{0}, "too long");
  refused(36, std::uint64_t{25}, "its clusters only");
  refused(36, ~std::uint64_t{0}, "its clusters only");
  refused(48, std::uint32_t{16}, "where the header or the table is");
}

TEST_F(Parallels, PlacesAreBounded) {
  refused(68, std::uint32_t{1}, "of two blocks");
  refused(68, std::uint32_t{3}, "it was cut short");
  refused(68, ~std::uint32_t{0}, "it was cut short");
}

}  // namespace
}  // namespace formats::parallels
