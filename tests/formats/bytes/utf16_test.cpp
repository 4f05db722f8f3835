#include "formats/bytes/utf16.hpp"

#include <gtest/gtest.h>

namespace formats {
namespace {

std::string converted(std::u16string_view text) {
  std::vector<std::byte> bytes;
  for (const char16_t unit : text) {
    bytes.push_back(static_cast<std::byte>(unit & 0xff));
    bytes.push_back(static_cast<std::byte>(unit >> 8));
  }
  return utf8_from_utf16(bytes);
}

TEST(Utf16, BecomesUtf8OfOneToFourBytes) {
  EXPECT_EQ(converted(u"a\u00fc\u20ac\U0001f4be"), "a\u00fc\u20ac\U0001f4be");
}

TEST(Utf16, EndsAtNul) { EXPECT_EQ(converted(std::u16string_view(u"ab\0cd", 5)), "ab"); }

TEST(Utf16, HalvesOfPairsAreReplaced) {
  EXPECT_EQ(converted(std::u16string{0xd83d}), "\ufffd");
  EXPECT_EQ(converted(std::u16string{0xd83d, u'a'}), "\ufffda");
  EXPECT_EQ(converted(std::u16string{0xdcbe, u'a'}), "\ufffda");
}

TEST(Utf16, AnOddLastByteIsIgnored) {
  const std::byte bytes[] = {std::byte{'a'}, std::byte{0}, std::byte{'b'}};
  EXPECT_EQ(utf8_from_utf16(bytes), "a");
}

}  // namespace
}  // namespace formats
