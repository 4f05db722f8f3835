#include "formats/images/streams/encoder.hpp"

#include <random>

#include <gtest/gtest.h>

#include "formats/images/streams/decoder.hpp"
#include "io/error.hpp"
#include "io/sequential_reader.hpp"
#include "tests/formats/images/streams/compressed.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::streams {
namespace {

Bytes noise(std::size_t size) {
  std::mt19937_64 random(7);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

class EncoderTest : public testing::TestWithParam<Format> {
 protected:
  static std::unique_ptr<Encoder> make(int level) {
    return GetParam() == Format::gz ? make_gzip_encoder(level) : make_xz_encoder(level);
  }

  static Bytes stream_of(const std::vector<Bytes>& blocks, int level) {
    const auto encoder = make(level);
    Bytes stream = encoder->begin();
    const auto append = [&stream](const Bytes& bytes) {
      stream.insert(stream.end(), bytes.begin(), bytes.end());
    };
    for (const Bytes& content : blocks) {
      const EncodedBlock block = encoder->encode(content, nullptr);
      EXPECT_EQ(block.content_bytes, content.size());
      encoder->note(block);
      append(block.bytes);
    }
    append(encoder->end());
    return stream;
  }

  static void expect_round_trip(const std::vector<Bytes>& blocks, int level) {
    Bytes whole;
    for (const Bytes& block : blocks) whole.insert(whole.end(), block.begin(), block.end());
    const io::TemporaryFolder folder;
    const io::File file = folder.make("stream", stream_of(blocks, level));
    Decoder decoder(make_codec(GetParam()),
                    std::make_unique<io::SequentialReader>(file, std::vector<std::byte>{}, nullptr),
                    "stream");
    Bytes found(whole.size() + 1);
    EXPECT_EQ(decoder.read(found), whole.size());
    found.pop_back();
    EXPECT_TRUE(found == whole);
  }
};

TEST_P(EncoderTest, WhatItEncodesIsDecoded) {
  const Bytes words = io::pattern({0, 300'000});
  const Bytes zeros(200'000);
  for (const int level : {1, 6, 9}) {
    expect_round_trip({words}, level);
    expect_round_trip({words, zeros, words, Bytes{std::byte{1}}}, level);
  }
}

TEST_P(EncoderTest, NoContentIsAStreamToo) { expect_round_trip({}, 1); }

TEST_P(EncoderTest, WhatCannotBeMadeSmallerGrowsByLittle) {
  for (const std::size_t size : {1U, 1000U, 65536U, 700'001U}) {
    const Bytes content = noise(size);
    expect_round_trip({content, content}, 1);
    EXPECT_LT(stream_of({content}, 1).size(), size + size / 1000 + 120) << size;
  }
}

TEST_P(EncoderTest, AStopEndsIt) {
  const io::StopFlag stop{2};
  const auto encoder = make(6);
  const Bytes content = noise(100'000);
  try {
    (void)encoder->encode(content, &stop);
    ADD_FAILURE();
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::cancelled);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EncoderTest, testing::Values(Format::gz, Format::xz),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

}  // namespace
}  // namespace formats::streams
