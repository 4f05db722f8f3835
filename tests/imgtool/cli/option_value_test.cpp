#include "imgtool/cli/option_value.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>

#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

using ::testing::HasSubstr;

template <typename Function>
std::string usage_error_of(Function function) {
  try {
    function();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(ParseSize, TakesWhatTheTableSays) {
  struct Row {
    const char* word;
    std::uint64_t bytes;
  };
  constexpr std::uint64_t k = 1024;
  constexpr std::array rows = {
      Row{"0", 0},
      Row{"1", 1},
      Row{"512", 512},
      Row{"512B", 512},
      Row{"512b", 512},
      Row{"0x10", 16},
      Row{"0X1fF", 511},
      Row{"0x7fffffffffffffff", 9223372036854775807U},
      Row{"2E", 2 * k * k * k * k * k * k},
      Row{"2e", 2 * k * k * k * k * k * k},
      Row{"1EB", 1'000'000'000'000'000'000},
      Row{"007", 7},
      Row{"1K", k},
      Row{"1k", k},
      Row{"1KiB", k},
      Row{"1kB", 1000},
      Row{"64M", 64 * k * k},
      Row{"64MiB", 64 * k * k},
      Row{"64MB", 64'000'000},
      Row{"1.5G", 3 * k * k * k / 2},
      Row{"1.50G", 3 * k * k * k / 2},
      Row{"0.5K", 512},
      Row{"1.5kB", 1500},
      Row{"0.001kB", 1},
      Row{"0.0009765625K", 1},
      Row{"1.0", 1},
      Row{"2T", 2 * k * k * k * k},
      Row{"2TB", 2'000'000'000'000},
      Row{"3P", 3 * k * k * k * k * k},
      Row{"3PB", 3'000'000'000'000'000},
      Row{"8191P", 8191 * k * k * k * k * k},
      Row{"9223372036854775807", 9223372036854775807U},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(parse_size(row.word), row.bytes) << row.word;
  }
}

TEST(ParseSize, RefusesEverythingElse) {
  constexpr std::array not_sizes = {"",    " 1",   "1 ", "1 K",   "+1",   "-1",    "-1K",   "0x",
                                    "K",   "1KB",  "1Q", "1KK",   "1.K",  ".5K",   "1..5K", "1,5K",
                                    "1e3", "1Kib", "٣",  "1.5.5", "0x1G", "0x1.8", "0x-1"};
  for (const char* word : not_sizes) {
    EXPECT_THAT(usage_error_of([word] { parse_size(word); }), HasSubstr("is not a size")) << word;
  }
  constexpr std::array too_large = {"9223372036854775808",
                                    "8192P",
                                    "18446744073709551616",
                                    "99999999999999999999999",
                                    "9007199254740992K",
                                    "8191.9999999999999999999P",
                                    "8E",
                                    "0x8000000000000000"};
  for (const char* word : too_large) {
    EXPECT_NE(usage_error_of([word] { parse_size(word); }), "(no error)") << word;
  }
  for (const char* word : {"1.5", "0.3K", "0.0001kB", "0.1B", "0.00000000000000000001P"}) {
    EXPECT_THAT(usage_error_of([word] { parse_size(word); }), HasSubstr("whole number of bytes"))
        << word;
  }
}

TEST(ParseCount, KeepsToItsRange) {
  EXPECT_EQ(parse_count("1", 1, 12), 1U);
  EXPECT_EQ(parse_count("12", 1, 12), 12U);
  for (const char* word : {"0", "13", "", "-1", "+1", "1.0", "1K", " 1", "18446744073709551616"}) {
    EXPECT_EQ(usage_error_of([word] { parse_count(word, 1, 12); }),
              "'" + std::string(word) + "' is not a number from 1 to 12");
  }
}

TEST(ParseDigest, LowersTheCaseAndCountsTheDigits) {
  const std::string hex(64, 'a');
  EXPECT_EQ(parse_digest("sha256:" + hex).hex, hex);
  EXPECT_EQ(parse_digest("xxh3:0123456789ABCDEF").hex, "0123456789abcdef");
  EXPECT_EQ(parse_digest("xxh3:0123456789ABCDEF").algorithm, io::DigestAlgorithm::xxh3);
  EXPECT_THAT(usage_error_of([] { parse_digest("xxh3:0123"); }), HasSubstr("16 hexadecimal"));
  EXPECT_THAT(usage_error_of([] { parse_digest("xxh3:0123456789abcdeg"); }),
              HasSubstr("hexadecimal"));
  for (const char* word : {"", "sha256", "crc:00", ":00"}) {
    EXPECT_THAT(usage_error_of([word] { parse_digest(word); }), HasSubstr("ALGORITHM:HEX")) << word;
  }
}

TEST(ChoiceInto, ListsTheChoicesWhenNoneFits) {
  enum class Colour { red, green };
  Colour colour = Colour::green;
  const OptionValue value =
      choice_into<Colour>(colour, {{"red", Colour::red}, {"green", Colour::green}});
  EXPECT_EQ(value.placeholder, "red|green");
  EXPECT_EQ(value.default_text, "green");
  value.set("red");
  EXPECT_EQ(colour, Colour::red);
  EXPECT_EQ(usage_error_of([&value] { value.set("blue"); }), "'blue' is none of red, green");
}

}  // namespace
}  // namespace imgtool
