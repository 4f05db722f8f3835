#include "formats/images/zst/frame.hpp"

#include <gtest/gtest.h>

#include "formats/images/zst/zstd.hpp"
#include "io/byte_range.hpp"
#include "io/xxh64.hpp"
#include "io/zero_run.hpp"

namespace formats::zst {
namespace {

using Bytes = std::vector<std::byte>;

std::uint32_t checksum_of_zeros(std::uint64_t size) {
  return static_cast<std::uint32_t>(io::xxh64_of_zeros(size));
}

TEST(ZeroFrame, DecodesToZerosAndIsSeen) {
  for (const std::uint32_t size : {1U, 2U, 4096U, 131'072U, 131'073U, 131'074U, 3'000'000U}) {
    const Bytes frame = make_zero_frame(size, checksum_of_zeros(size));
    Bytes content(size, std::byte{1});
    EXPECT_EQ(decode_frame(frame, content), "") << size;
    EXPECT_TRUE(io::is_zero(content)) << size;
    EXPECT_TRUE(is_zero_frame(frame, size)) << size;
    EXPECT_FALSE(is_zero_frame(frame, size + 1)) << size;
    EXPECT_LE(frame.size(), longest_zero_frame(size)) << size;
    EXPECT_EQ(frame_checksum(frame), checksum_of_zeros(size)) << size;
  }
}

TEST(ZeroFrame, IsNotSeenInWhatIsNone) {
  const Bytes good = make_zero_frame(300'000, checksum_of_zeros(300'000));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const unsigned bit : {0U, 1U, 4U, 7U}) {
      Bytes bad = good;
      bad[at] ^= static_cast<std::byte>(1U << bit);
      Bytes content(300'000, std::byte{1});
      if (!is_zero_frame(bad, 300'000)) continue;
      // Only the checksum may be another one; then decoding says so.
      const bool decodes = decode_frame(bad, content).empty();
      EXPECT_TRUE(!decodes || io::is_zero(content)) << at << "." << bit;
    }
  }
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(is_zero_frame(std::span(good).first(length), 300'000)) << length;
  }
}

TEST(ZeroFrame, IsNotSeenInData) {
  const Bytes frame = encode_frame(Bytes(5000, std::byte{7}), 3);
  EXPECT_FALSE(is_zero_frame(frame, 5000));
}

TEST(Frame, HeadersOfTheLibraryAreUnderstood) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{255}, std::size_t{256},
                                 std::size_t{70'000}, std::size_t{5} << 20}) {
    const Bytes frame = encode_frame(Bytes(size, std::byte{7}), 3);
    const auto header = parse_frame_header(frame);
    ASSERT_TRUE(header.has_value());
    EXPECT_EQ(header->content_size, size);
    EXPECT_TRUE(header->checksum);
    EXPECT_EQ(frame_checksum(frame),
              static_cast<std::uint32_t>(io::xxh64(Bytes(size, std::byte{7}))));
  }
}

}  // namespace
}  // namespace formats::zst
