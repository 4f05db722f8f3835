// The header and the tables of a qcow image of version 1.
#include "formats/images/qcow1/qcow1.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "formats/bytes/big_endian.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats::qcow1 {
namespace {

using io::ErrorKind;
using testing_blocks::expect_refused;
using testing_blocks::file_of;
using testing_blocks::runs_of;

constexpr std::uint64_t cluster = 512;

// Header and L1, an L2 of 64 words, one cluster, and a stream of 100 bytes.
class Qcow1 : public testing::Test {
 protected:
  Qcow1() : bytes_(3 * cluster + 100) {
    std::ranges::transform(std::string_view("QFI\xfb\0\0\0\1", 8), bytes_.begin(),
                           [](char c) { return std::byte(c); });
    put<std::uint64_t>(24, 100 * cluster);
    put<std::uint8_t>(32, 9);
    put<std::uint8_t>(33, 6);
    put<std::uint64_t>(40, 48);
    put<std::uint64_t>(48, cluster);
    put<std::uint64_t>(cluster, 2 * cluster);
    put(cluster + 16, stream(100, 3 * cluster));
  }
  static std::uint64_t stream(std::uint64_t length, std::uint64_t at) {
    return std::uint64_t{1} << 63 | length << 54 | at;
  }
  template <class Word>
  void put(std::size_t at, Word value) {
    store_big_endian<Word>(std::span(bytes_), at, value);
  }
  template <class Word>
  void refused(std::size_t at, Word value, const std::string& words,
               ErrorKind kind = ErrorKind::format) {
    const std::vector<std::byte> good = bytes_;
    put<Word>(at, value);
    const io::File file = file_of(bytes_);
    expect_refused(kind, words, [&] { return runs_of(*open_map(file)); });
    bytes_ = good;
  }

  std::vector<std::byte> bytes_;
};

TEST_F(Qcow1, EveryFieldIsUnderstood) {
  put<std::uint64_t>(8, 100);
  put<std::uint32_t>(16, 2);
  put<std::uint32_t>(36, 1);
  bytes_[100] = bytes_[101] = std::byte{'b'};
  const io::File file = file_of(bytes_);
  const Header header = read_header(file);
  EXPECT_EQ(header.virtual_size, 100 * cluster);
  EXPECT_EQ(header.cluster_bits, 9U);
  EXPECT_EQ(header.table_bits, 6U);
  EXPECT_EQ(header.directory_at, 48U);
  EXPECT_TRUE(header.encrypted);
  EXPECT_EQ(header.backing_file, "bb");
  expect_refused(ErrorKind::unsupported, "encrypted", [&] { return open_map(file); });
  put<std::uint32_t>(36, 0);
  const io::File plain = file_of(bytes_);
  const auto parent = parent_of(plain);
  ASSERT_TRUE(parent.has_value());
  EXPECT_EQ(parent->name, "bb");
  EXPECT_FALSE(parent->format.has_value());
}

TEST_F(Qcow1, TheMapTellsKindsAndPlaces) {
  const io::File file = file_of(bytes_);
  const auto runs = runs_of(*open_map(file));
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[0].kind, BlockKind::plain);
  EXPECT_EQ(runs[0].host, 2 * cluster);
  EXPECT_EQ(runs[1].kind, BlockKind::absent);
  EXPECT_EQ(runs[2].kind, BlockKind::packed);
  EXPECT_EQ(runs[2].host, 3 * cluster);
  EXPECT_EQ(runs[2].stored_bytes, 100U);
  EXPECT_EQ(runs[2].length, cluster);
  EXPECT_EQ(runs[3].kind, BlockKind::absent);
}

TEST_F(Qcow1, EveryFieldIsBounded) {
  refused(7, std::uint8_t{2}, "is not a qcow image of version 1");
  refused(24, ~std::uint64_t{0}, "is impossible");
  refused(24, std::uint64_t{1} << 61, "does not fit in here");
  refused(32, std::uint8_t{8}, "cluster_bits is 8");
  refused(32, std::uint8_t{17}, "cluster_bits is 17");
  refused(33, std::uint8_t{5}, "l2_bits is 5");
  refused(33, std::uint8_t{14}, "l2_bits is 14");
  refused(36, std::uint32_t{2}, "unknown encryption 2");
  refused(40, std::uint64_t{40}, "in the header or not at a word");
  refused(40, std::uint64_t{49}, "in the header or not at a word");
  refused(40, ~std::uint64_t{7}, "does not fit in here");
  put<std::uint32_t>(16, 5);
  refused(8, ~std::uint64_t{0}, "name of the backing file");
  put<std::uint64_t>(8, 100);
  refused(16, std::uint32_t{1024}, "too long");
}

TEST_F(Qcow1, PlacesAreBounded) {
  refused(48, cluster + 8, "not the start of a cluster");
  refused(48, std::uint64_t{1} << 63, "it was cut short");
  refused(56, cluster, "something else");
  refused(cluster, cluster, "something else");
  refused(cluster, cluster * 2 + 1, "not the start of a cluster");
  refused(cluster, 4 * cluster, "it was cut short");
  refused(cluster + 8, 2 * cluster, "something else");
  refused(cluster + 16, stream(101, 3 * cluster), "it was cut short");
  refused(cluster + 16, stream(0, 3 * cluster), "no room");
  refused(cluster + 16, stream(100, std::uint64_t{1} << 53), "it was cut short");
}

}  // namespace
}  // namespace formats::qcow1
