#include "formats/images/qcow2/refcount_builder.hpp"

#include <gtest/gtest.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/refcounts.hpp"

namespace formats::qcow2 {
namespace {

TEST(PutRefcount, IsReadBackAtEveryWidth) {
  for (const std::uint32_t bits : {1U, 2U, 4U, 8U, 16U, 32U, 64U}) {
    std::vector<std::byte> block(512, std::byte{0xff});
    const std::uint64_t count = 512 * 8 / bits;
    const std::uint64_t mask = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    for (std::uint64_t i = 0; i < count; ++i) put_refcount(block, i, bits, (i * 7 + 1) & mask);
    for (std::uint64_t i = 0; i < count; ++i) {
      ASSERT_EQ(refcount_in(block, i, bits), (i * 7 + 1) & mask) << "bits " << bits << " " << i;
    }
  }
}

TEST(RefcountPlaces, CountThemselves) {
  for (const std::uint32_t bits : {1U, 16U, 64U}) {
    for (std::uint64_t end = 1; end < 5000; ++end) {
      const RefcountPlaces places = refcount_places(end, 512, bits);
      const std::uint64_t per_block = 512 * 8 / bits;
      ASSERT_EQ(places.first_block, end);
      ASSERT_GE(places.blocks * per_block, places.end());
      ASSERT_GE(places.table_clusters * 512, places.blocks * 8);
      // Nothing is wasted, but for the step that a block of its own takes.
      ASSERT_LE((places.blocks - 1) * per_block, places.end());
    }
  }
}

TEST(RefcountBuilder, WritesBlocksAndThenTheirTable) {
  RefcountBuilder counts(9, 16);
  for (int i = 0; i < 3; ++i) counts.use(700);
  counts.use(0);
  const RefcountPlaces places = refcount_places(701, 512, 16);
  std::vector<std::byte> bytes;
  counts.write(places, [&bytes](std::span<const std::byte> cluster) {
    EXPECT_EQ(cluster.size(), 512U);
    bytes.insert(bytes.end(), cluster.begin(), cluster.end());
  });
  ASSERT_EQ(bytes.size(), (places.blocks + places.table_clusters) * 512);
  EXPECT_EQ(refcount_in(bytes, 0, 16), 1U);
  EXPECT_EQ(refcount_in(bytes, 1, 16), 0U);
  EXPECT_EQ(refcount_in(bytes, 700, 16), 3U);
  for (std::uint64_t i = 701; i < places.end(); ++i) EXPECT_EQ(refcount_in(bytes, i, 16), 1U);
  const auto table = std::span<const std::byte>(bytes).subspan(places.blocks * 512);
  for (std::uint64_t block = 0; block < places.blocks; ++block) {
    EXPECT_EQ(load_big_endian<std::uint64_t>(table, block * 8), (701 + block) * 512);
  }
  EXPECT_EQ(load_big_endian<std::uint64_t>(table, places.blocks * 8), 0U);
}

TEST(RefcountBuilder, KnowsWhenANarrowCountIsFull) {
  RefcountBuilder counts(16, 2);
  EXPECT_FALSE(counts.full(5));
  for (int i = 0; i < 3; ++i) counts.use(5);
  EXPECT_TRUE(counts.full(5));
  EXPECT_FALSE(counts.full(4));
  EXPECT_FALSE(counts.full(6));
}

}  // namespace
}  // namespace formats::qcow2
