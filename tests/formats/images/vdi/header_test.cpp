// The header and the map of a VDI image: what is right is understood, what breaks a rule refused.
#include "formats/images/vdi/header.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/vdi/map.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats::vdi {
namespace {

using io::ErrorKind;
using io::MiB;
using testing_blocks::expect_refused;
using testing_blocks::file_of;
using testing_blocks::runs_of;

constexpr std::uint32_t none = 0xffffffff;
constexpr std::uint32_t zeros = 0xfffffffe;

class Vdi : public testing::Test {
 protected:
  Vdi() : bytes_(1024 + 2 * MiB) {
    const std::string creator = "<<< made by hand >>>\n";
    std::ranges::transform(creator, bytes_.begin(), [](char c) { return std::byte(c); });
    put<std::uint32_t>(64, 0xbeda107f);
    put<std::uint32_t>(68, 0x00010001);
    put<std::uint32_t>(72, 400);
    put<std::uint32_t>(76, 1);
    put<std::uint32_t>(340, 512);
    put<std::uint32_t>(344, 1024);
    put<std::uint32_t>(360, 512);
    put<std::uint64_t>(368, 4 * MiB - 512);
    put<std::uint32_t>(376, MiB);
    put<std::uint32_t>(384, 4);
    put<std::uint32_t>(388, 2);
    set_map({1, none, 0, zeros});
  }

  template <class Word>
  void put(std::size_t at, Word value) {
    store_little_endian<Word>(std::span(bytes_), at, value);
  }
  void set_map(const std::vector<std::uint32_t>& words) {
    for (std::size_t i = 0; i < words.size(); ++i) put(512 + 4 * i, words[i]);
  }
  [[nodiscard]] Header parse() const {
    return parse_header(std::span(bytes_).first(header_bytes), bytes_.size(), "image");
  }
  void expect_header_refused(const std::string& words, ErrorKind kind = ErrorKind::format) const {
    expect_refused(kind, words, [this] { return parse(); });
  }
  void expect_map_refused(const std::string& words) const {
    const io::File file = file_of(bytes_);
    expect_refused(ErrorKind::format, words, [&] { return open_map(file); });
  }

  std::vector<std::byte> bytes_;
};

TEST_F(Vdi, EveryFieldIsUnderstood) {
  const Header header = parse();
  EXPECT_EQ(header.kind, Kind::dynamic);
  EXPECT_EQ(header.creator, "<<< made by hand >>>\n");
  EXPECT_EQ(header.virtual_size, 4 * MiB - 512);
  EXPECT_EQ(header.block_size, MiB);
  EXPECT_EQ(header.extra, 0U);
  EXPECT_EQ(header.blocks, 4U);
  EXPECT_EQ(header.used_blocks, 2U);
  EXPECT_EQ(header.map_offset, 512U);
  EXPECT_EQ(header.data_offset, 1024U);
  EXPECT_FALSE(header.has_parent);
}

TEST_F(Vdi, ASizeThatIsNoWholeSectorsIsRoundedUp) {
  put<std::uint64_t>(368, 4 * MiB - 1000);
  EXPECT_EQ(parse().virtual_size, 4 * MiB - 512);
}

TEST_F(Vdi, TheMapTellsKindsAndPlaces) {
  const io::File file = file_of(bytes_);
  const auto map = open_map(file);
  const auto runs = runs_of(*map);
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[0].kind, BlockKind::plain);
  EXPECT_EQ(runs[0].host, 1024 + MiB);
  EXPECT_EQ(runs[1].kind, BlockKind::absent);
  EXPECT_EQ(runs[2].kind, BlockKind::plain);
  EXPECT_EQ(runs[2].host, 1024U);
  EXPECT_EQ(runs[3].kind, BlockKind::zero);
  EXPECT_EQ(runs[3].length, MiB - 512);
  const BlockRun inside = map->run_at(MiB / 2, 100);
  EXPECT_EQ(inside.host, 1024 + MiB + MiB / 2);
  EXPECT_EQ(inside.length, 100U);
}

TEST_F(Vdi, BlocksThatFollowOneAnotherAreOneRun) {
  set_map({0, 1, none, none});
  const io::File file = file_of(bytes_);
  const auto map = open_map(file);
  const auto runs = runs_of(*map);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].length, 2 * MiB);
  EXPECT_EQ(runs[1].length, 2 * MiB - 512);
}

TEST_F(Vdi, ExtraBytesBeforeABlockAreSkipped) {
  put<std::uint32_t>(380, 512);
  set_map({0, none, none, none});
  const io::File file = file_of(bytes_);
  EXPECT_EQ(runs_of(*open_map(file)).front().host, 1024U + 512);
}

TEST_F(Vdi, WhatIsNoVdiIsRefused) {
  put<std::uint32_t>(64, 0xbeda107e);
  expect_header_refused("is not a VDI image");
}

TEST_F(Vdi, EveryFieldIsBounded) {
  const auto refused = [this]<class Word>(std::size_t at, Word value, const std::string& words) {
    const std::vector<std::byte> good = bytes_;
    put<Word>(at, value);
    expect_header_refused(words);
    bytes_ = good;
  };
  refused(76, std::uint32_t{0}, "no VDI type 0");
  refused(76, std::uint32_t{5}, "no VDI type 5");
  refused(340, std::uint32_t{0}, "in the header");
  refused(340, std::uint32_t{513}, "not at sectors");
  refused(340, std::uint32_t{0xfffffe00}, "past the end");
  refused(344, std::uint32_t{512}, "inside the header or the map");
  refused(344, std::uint32_t{1025}, "not at sectors");
  refused(360, std::uint32_t{4096}, "sectors of 4096");
  refused(368, 4 * MiB + 1, "its blocks only");
  refused(368, ~std::uint64_t{0}, "its blocks only");
  refused(376, std::uint32_t{0}, "block size of 0");
  refused(376, std::uint32_t{MiB + 512}, "is impossible");
  refused(376, std::uint32_t{2048}, "is impossible");
  refused(376, std::uint32_t{1} << 31, "is impossible");
  refused(380, std::uint32_t{2 * MiB}, "extra bytes");
  refused(384, std::uint32_t{3}, "its blocks only");
  refused(384, ~std::uint32_t{0}, "too many");
  refused(384, std::uint32_t{1 << 20}, "past the end");
}

TEST_F(Vdi, OtherVersionsAreNotSupported) {
  put<std::uint32_t>(68, 1);
  expect_header_refused("version 0.1", ErrorKind::unsupported);
}

TEST_F(Vdi, ShortFilesEndInsideTheHeader) {
  for (const std::size_t size : {0U, 64U, 67U, 68U, 455U, 511U}) {
    const auto short_file = std::span(bytes_).first(size);
    expect_refused(ErrorKind::format, size < 68 ? "is not a VDI image" : "ends inside",
                   [&] { return parse_header(short_file, size, "image"); });
  }
}

TEST_F(Vdi, WhatHasAParentIsRefused) {
  const std::vector<std::byte> good = bytes_;
  for (const std::uint32_t kind : {3U, 4U}) {
    put<std::uint32_t>(76, kind);
    EXPECT_TRUE(parse().has_parent);
  }
  bytes_ = good;
  put<std::uint32_t>(436, 1);  // a link, whatever the type is
  const io::File file = file_of(bytes_);
  expect_refused(ErrorKind::refused, "differencing", [&] { return open_map(file); });
  EXPECT_EQ(read_facts(file).subformat, "differencing");
}

TEST_F(Vdi, ABlockBelongsToOneEntry) {
  set_map({1, none, 1, none});
  expect_map_refused("of two blocks");
}

TEST_F(Vdi, ABlockLiesInTheFile) {
  set_map({0, none, none, 2});
  expect_map_refused("block 3 is said to be at");
  set_map({0xfffffffd, none, none, none});
  expect_map_refused("it was cut short");
}

TEST_F(Vdi, TheLastBlockMayEndWhereTheDiskDoes) {
  set_map({0, none, none, 1});
  bytes_.resize(bytes_.size() - 512);
  {
    const io::File file = file_of(bytes_);
    EXPECT_EQ(runs_of(*open_map(file)).back().length, MiB - 512);
  }
  bytes_.resize(bytes_.size() - 1);
  expect_map_refused("it was cut short");
}

TEST_F(Vdi, FactsAreThoseOfTheHeader) {
  const io::File file = file_of(bytes_);
  BlockFacts facts = read_facts(file);
  EXPECT_EQ(facts.virtual_size, 4 * MiB - 512);
  EXPECT_EQ(facts.block_size, MiB);
  EXPECT_EQ(facts.subformat, "dynamic");
  put<std::uint32_t>(76, 2);
  const io::File fixed = file_of(bytes_);
  EXPECT_EQ(read_facts(fixed).subformat, "static");
}

}  // namespace
}  // namespace formats::vdi
