#include "formats/images/streams/decoder.hpp"

#include <gtest/gtest.h>

#include "formats/images/probe.hpp"
#include "io/error.hpp"
#include "io/sequential_reader.hpp"
#include "tests/formats/images/streams/compressed.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::streams {
namespace {

// Reads in pieces, as lanes do.
Bytes decode(const Bytes& stream, Format format, std::size_t piece = 4096) {
  const io::TemporaryFolder folder;
  const io::File file = folder.make("stream", stream);
  Decoder decoder(make_codec(format),
                  std::make_unique<io::SequentialReader>(file, std::vector<std::byte>{}, nullptr),
                  "stream");
  Bytes content;
  while (true) {
    const std::size_t before = content.size();
    content.resize(before + piece);
    const std::size_t count = decoder.read(std::span(content).subspan(before));
    content.resize(before + count);
    if (count < piece) return content;
  }
}

// The error's offset in the compressed file, or nothing when it decodes.
std::optional<std::uint64_t> fault_offset(const Bytes& stream, Format format) {
  try {
    decode(stream, format);
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::format) << error.what();
    EXPECT_TRUE(error.range().has_value()) << error.what();
    return error.range()->offset;
  }
  return std::nullopt;
}

class DecoderTest : public testing::TestWithParam<Format> {
 protected:
  const Bytes content_ = io::pattern({0, 100'000});
  const Bytes stream_ = compressed(GetParam(), content_);
};

TEST_P(DecoderTest, GivesTheContent) {
  EXPECT_EQ(decode(stream_, GetParam()), content_);
  EXPECT_EQ(decode(stream_, GetParam(), 77), content_);
  EXPECT_EQ(decode(stream_, GetParam(), 1 << 20), content_);
}

TEST_P(DecoderTest, IsRecognisedByItsContent) { EXPECT_EQ(probe(stream_), GetParam()); }

TEST_P(DecoderTest, TakesMembersThatFollowOneAnother) {
  const Bytes empty = compressed(GetParam(), {});
  const Bytes other = io::pattern({0, 77}, 5);
  EXPECT_EQ(decode(joined({stream_, empty, compressed(GetParam(), other)}), GetParam()),
            joined({content_, other}));
}

TEST_P(DecoderTest, TakesNoContent) {
  EXPECT_EQ(decode(compressed(GetParam(), {}), GetParam()), Bytes());
}

TEST_P(DecoderTest, RefusesGarbageBehindTheEnd) {
  for (const std::size_t length : {1U, 3U, 4U, 5000U}) {
    const Bytes garbage(length, std::byte{'x'});
    const auto offset = fault_offset(joined({stream_, garbage}), GetParam());
    ASSERT_TRUE(offset.has_value()) << length;
    EXPECT_GE(*offset, stream_.size());
  }
}

TEST_P(DecoderTest, RefusesZerosBehindTheEnd) {
  // xz has padding, in multiples of 4.
  const auto offset = fault_offset(joined({stream_, Bytes(512)}), GetParam());
  EXPECT_EQ(offset.has_value(), GetParam() != Format::xz);
  EXPECT_TRUE(fault_offset(joined({stream_, Bytes(511)}), GetParam()).has_value());
}

TEST_P(DecoderTest, SaysWhereItWasCutShort) {
  for (const std::size_t length :
       {std::size_t{1}, std::size_t{20}, stream_.size() / 2, stream_.size() - 1}) {
    const Bytes cut(stream_.begin(), stream_.begin() + static_cast<std::ptrdiff_t>(length));
    const auto offset = fault_offset(cut, GetParam());
    ASSERT_TRUE(offset.has_value()) << length;
    EXPECT_LE(*offset, length);
  }
}

TEST_P(DecoderTest, GivesAnErrorOrTheContentWhateverBitFlips) {
  const Bytes content = io::pattern({0, 200});
  const Bytes good = compressed(GetParam(), content);
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] ^= static_cast<std::byte>(1U << (at % 8));
    Bytes found = content;
    try {
      found = decode(bad, GetParam());
    } catch (const io::Error&) {
      continue;
    }
    ASSERT_EQ(found, content) << "byte " << at;
  }
}

TEST_P(DecoderTest, RefusesAnEmptyFile) {
  EXPECT_EQ(fault_offset({}, GetParam()), std::uint64_t{0});
}

INSTANTIATE_TEST_SUITE_P(Formats, DecoderTest,
                         testing::Values(Format::gz, Format::xz, Format::bz2, Format::zst),
                         [](const auto& one) { return std::string(name_of(one.param)); });

}  // namespace
}  // namespace formats::streams
