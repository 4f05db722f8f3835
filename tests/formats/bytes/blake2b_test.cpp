#include "formats/bytes/blake2b.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <string>
#include <vector>

namespace {

std::string hex(std::size_t length) {
  std::vector<std::byte> bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i & 0xff);
  std::string text;
  for (const std::byte byte : formats::blake2b_256(bytes)) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  }
  return text;
}

// The reference implementation's, by Python's hashlib.
TEST(Blake2b, GivesKnownDigests) {
  EXPECT_EQ(hex(0), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  EXPECT_EQ(hex(128), "c3582f71ebb2be66fa5dd750f80baae97554f3b015663c8be377cfcb2488c1d1");
  EXPECT_EQ(hex(512), "540b20132d8aeae54057cb69c24f95d26a1c472cc700dd450defe9bb796d4f14");
}

TEST(Blake2b, GivesThatOfAbc) {
  constexpr std::array abc{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
  std::string text;
  for (const std::byte byte : formats::blake2b_256(abc)) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  }
  EXPECT_EQ(text, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

}  // namespace
