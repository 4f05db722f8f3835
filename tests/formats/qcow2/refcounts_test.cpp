#include "formats/qcow2/refcounts.hpp"

#include <array>

#include <gtest/gtest.h>

namespace formats::qcow2 {
namespace {

TEST(RefcountIn, ReadsEveryWidth) {
  std::array<std::byte, 16> block{};
  for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(0x10 + i);
  EXPECT_EQ(refcount_in(block, 1, 64), 0x18191a1b1c1d1e1fU);
  EXPECT_EQ(refcount_in(block, 3, 32), 0x1c1d1e1fU);
  EXPECT_EQ(refcount_in(block, 7, 16), 0x1e1fU);
  EXPECT_EQ(refcount_in(block, 15, 8), 0x1fU);
}

TEST(RefcountIn, StartsAtTheLowestBitsOfAByte) {
  const std::array<std::byte, 2> block{std::byte{0b1101'0010}, std::byte{0b0000'0001}};
  EXPECT_EQ(refcount_in(block, 0, 4), 0b0010U);
  EXPECT_EQ(refcount_in(block, 1, 4), 0b1101U);
  EXPECT_EQ(refcount_in(block, 2, 4), 0b0001U);
  EXPECT_EQ(refcount_in(block, 0, 2), 0b10U);
  EXPECT_EQ(refcount_in(block, 3, 2), 0b11U);
  EXPECT_EQ(refcount_in(block, 0, 1), 0U);
  EXPECT_EQ(refcount_in(block, 1, 1), 1U);
  EXPECT_EQ(refcount_in(block, 8, 1), 1U);
}

}  // namespace
}  // namespace formats::qcow2
