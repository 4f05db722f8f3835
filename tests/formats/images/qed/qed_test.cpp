// The header and the tables of a QED image.
#include "formats/images/qed/qed.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "formats/bytes/little_endian.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats::qed {
namespace {

using io::ErrorKind;
using testing_blocks::expect_refused;
using testing_blocks::file_of;
using testing_blocks::runs_of;

constexpr std::uint64_t cluster = 4096;

// Header, L1, one L2 and two clusters.
class Qed : public testing::Test {
 protected:
  Qed() : bytes_(5 * cluster) {
    std::ranges::transform(std::string_view("QED\0", 4), bytes_.begin(),
                           [](char c) { return std::byte(c); });
    put<std::uint32_t>(4, cluster);
    put<std::uint32_t>(8, 1);
    put<std::uint32_t>(12, 1);
    put<std::uint64_t>(40, cluster);
    put<std::uint64_t>(48, 600 * cluster - 512);
    put<std::uint64_t>(cluster, 2 * cluster);
    put<std::uint64_t>(2 * cluster, 4 * cluster);
    put<std::uint64_t>(2 * cluster + 8, 1);
    put<std::uint64_t>(2 * cluster + 24, 3 * cluster);
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
    expect_refused(kind, words, [&] { return runs_of(*open_map(file)); });
    bytes_ = good;
  }

  std::vector<std::byte> bytes_;
};

TEST_F(Qed, EveryFieldIsUnderstood) {
  put<std::uint64_t>(16, 7);
  put<std::uint32_t>(56, 100);
  put<std::uint32_t>(60, 4);
  bytes_[100] = bytes_[103] = std::byte{'b'};
  bytes_[101] = bytes_[102] = std::byte{'a'};
  const io::File file = file_of(bytes_);
  const Header header = read_header(file);
  EXPECT_EQ(header.cluster_size, cluster);
  EXPECT_EQ(header.table_bytes, cluster);
  EXPECT_EQ(header.header_bytes, cluster);
  EXPECT_EQ(header.directory_at, cluster);
  EXPECT_EQ(header.virtual_size, 600 * cluster - 512);
  EXPECT_TRUE(header.needs_check);
  EXPECT_EQ(header.backing_file, "baab");
  const auto parent = parent_of(file);
  ASSERT_TRUE(parent.has_value());
  EXPECT_EQ(parent->name, "baab");
  EXPECT_EQ(parent->format, Format::raw);
}

TEST_F(Qed, TheMapTellsKindsAndPlaces) {
  const io::File file = file_of(bytes_);
  const auto runs = runs_of(*open_map(file));
  ASSERT_EQ(runs.size(), 5U);
  EXPECT_EQ(runs[0].host, 4 * cluster);
  EXPECT_EQ(runs[1].kind, BlockKind::zero);
  EXPECT_EQ(runs[2].kind, BlockKind::absent);
  EXPECT_EQ(runs[3].host, 3 * cluster);
  EXPECT_EQ(runs[4].kind, BlockKind::absent);
  EXPECT_EQ(runs[4].length, 596 * cluster - 512);  // over the end of the table
}

TEST_F(Qed, EveryFieldIsBounded) {
  refused(0, std::uint8_t{'q'}, "is not a QED image");
  refused(4, std::uint32_t{2048}, "cluster size of 2048");
  refused(4, std::uint32_t{5000}, "is impossible");
  refused(4, std::uint32_t{1} << 27, "is impossible");
  refused(8, std::uint32_t{0}, "tables of 0");
  refused(8, std::uint32_t{3}, "tables of 3");
  refused(8, std::uint32_t{32}, "tables of 32");
  refused(12, std::uint32_t{0}, "a header of 0");
  refused(12, std::uint32_t{6}, "but the file has");
  refused(12, ~std::uint32_t{0}, "but the file has");
  refused(16, std::uint64_t{8}, "features 0x8", ErrorKind::unsupported);
  refused(16, std::uint64_t{1} << 63, "features", ErrorKind::unsupported);
  refused(40, std::uint64_t{0}, "not at a cluster behind the header");
  refused(40, cluster + 8, "not at a cluster");
  refused(40, std::uint64_t{1} << 63, "does not fit in here");
  refused(40, 5 * cluster, "does not fit in here");
  refused(48, std::uint64_t{100}, "a disk of 100");
  refused(48, 512 * 512 * cluster + 512, "is impossible here");
  refused(48, ~std::uint64_t{511}, "is impossible here");
}

TEST_F(Qed, PlacesAreBounded) {
  refused(cluster, cluster + 8, "not the start of a cluster");
  refused(cluster, std::uint64_t{0} + 5 * cluster, "it was cut short");
  refused(cluster, ~std::uint64_t{4095}, "it was cut short");
  refused(cluster, cluster, "something else");
  refused(cluster + 8, 2 * cluster, "something else");
  refused(2 * cluster, std::uint64_t{2}, "not the start of a cluster");
  refused(2 * cluster, 2 * cluster, "something else");
  refused(2 * cluster, 3 * cluster, "something else");
  refused(2 * cluster, 5 * cluster, "it was cut short");
  refused(2 * cluster, ~std::uint64_t{4095}, "it was cut short");
}

}  // namespace
}  // namespace formats::qed
