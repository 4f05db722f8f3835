#include "formats/bytes/crc32c.hpp"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace {

using formats::crc32c;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::vector<std::byte> counting(std::size_t size, int step) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(step > 0 ? i : size - 1 - i);
  }
  return bytes;
}

TEST(Crc32c, GivesTheVectorsOfRfc3720) {
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0})), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0xff})), 0x62a8ab43u);
  EXPECT_EQ(crc32c(counting(32, 1)), 0x46dd794eu);
  EXPECT_EQ(crc32c(counting(32, -1)), 0x113fdb5cu);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, IsTheSameByTableAndInPieces) {
  const auto bytes = counting(300, 1);
  const std::span<const std::byte> all(bytes);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const std::uint32_t whole = formats::crc32c_update(7, all.subspan(cut));
    EXPECT_EQ(formats::crc32c_update_by_table(7, all.subspan(cut)), whole);
    const std::uint32_t first = formats::crc32c_update(~0u, all.first(cut));
    EXPECT_EQ(~formats::crc32c_update(first, all.subspan(cut)), crc32c(all));
  }
}

}  // namespace
