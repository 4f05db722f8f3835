#include "formats/images/qcow2/refcounts.hpp"

#include <array>
#include <vector>

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

TEST(SetRefcountIn, ChangesNoOther) {
  for (const std::uint32_t bits : {1U, 2U, 4U, 8U, 16U, 32U, 64U}) {
    std::vector<std::byte> block(64);
    const std::uint64_t count = block.size() * 8 / bits;
    const std::uint64_t most = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    for (std::uint64_t i = 0; i < count; ++i) set_refcount_in(block, i, bits, i & most);
    set_refcount_in(block, count / 2, bits, most);
    for (std::uint64_t i = 0; i < count; ++i) {
      EXPECT_EQ(refcount_in(block, i, bits), i == count / 2 ? most : (i & most)) << bits;
    }
  }
}

}  // namespace
}  // namespace formats::qcow2
