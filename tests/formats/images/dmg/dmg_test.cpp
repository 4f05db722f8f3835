// The trailer and the tables of an Apple disk image, and Base64.
#include "formats/images/dmg/layout.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/dmg/map.hpp"
#include "formats/images/dmg/property_list.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats::dmg {
namespace {

using io::ErrorKind;
using testing_blocks::expect_refused;
using testing_blocks::file_of;
using testing_blocks::runs_of;

constexpr std::uint64_t stored_bytes = 4096;
constexpr std::size_t entries_at = 204;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Base64, DecodesWhatItKnowsAndSkipsTheRest) {
  EXPECT_EQ(text_of(decode_base64("")), "");
  EXPECT_EQ(text_of(decode_base64("Zg==")), "f");
  EXPECT_EQ(text_of(decode_base64("Zm8=")), "fo");
  EXPECT_EQ(text_of(decode_base64("Zm9v\n\t Ym\r\nFy")), "foobar");
  EXPECT_EQ(text_of(decode_base64("Zm9v=YmFy")), "foo");
  EXPECT_EQ(decode_base64("+/+/"),
            (std::vector{std::byte{0xfb}, std::byte{0xff}, std::byte{0xbf}}));
}

TEST(PropertyList, GivesEachElementWithItsPlace) {
  std::vector<std::pair<std::uint64_t, std::string>> found;
  const auto take = [&](std::uint64_t offset, std::span<const std::byte> bytes) {
    found.emplace_back(offset, text_of(bytes));
  };
  for_each_data("<x><data>Zg==</data> <data>\nZm8=\n</data><data>Zm9v", take);
  EXPECT_EQ(found, (std::vector<std::pair<std::uint64_t, std::string>>{{9, "f"}, {27, "fo"}}));
}

// 4096 bytes of chunks, one table of two entries in a resource fork, and the trailer.
class Dmg : public testing::Test {
 protected:
  Dmg() : table_(entries_at + 2 * 40), trailer_(512) {
    put_text(table_, "mish");
    put<std::uint32_t>(table_, 200, 2);
    put_entry(0, 1, 8, 4, 0, 2048);
    put_entry(1, 0x80000005, 1, 4, 2048, 100);
    put_text(trailer_, "koly");
    put<std::uint32_t>(trailer_, 4, 4);
    put<std::uint32_t>(trailer_, 8, 512);
    put<std::uint64_t>(trailer_, 492, 20);
  }
  static void put_text(std::vector<std::byte>& bytes, std::string_view text) {
    std::ranges::transform(text, bytes.begin(), [](char c) { return std::byte(c); });
  }
  template <class Word>
  static void put(std::vector<std::byte>& bytes, std::size_t at, Word value) {
    store_big_endian<Word>(std::span(bytes), at, value);
  }
  void put_entry(std::size_t index, std::uint32_t kind, std::uint64_t first, std::uint64_t sectors,
                 std::uint64_t offset, std::uint64_t length) {
    const std::size_t at = entries_at + index * 40;
    put<std::uint32_t>(table_, at, kind);
    put<std::uint64_t>(table_, at + 8, first);
    put<std::uint64_t>(table_, at + 16, sectors);
    put<std::uint64_t>(table_, at + 24, offset);
    put<std::uint64_t>(table_, at + 32, length);
  }
  [[nodiscard]] io::File file() {
    std::vector<std::byte> bytes(stored_bytes);
    std::vector<std::byte> head(16);
    put<std::uint32_t>(head, 0, 16);
    put<std::uint32_t>(head, 8, static_cast<std::uint32_t>(table_.size() + 4));
    std::vector<std::byte> length(4);
    put<std::uint32_t>(length, 0, static_cast<std::uint32_t>(table_.size()));
    put<std::uint64_t>(trailer_, 40, stored_bytes);
    put<std::uint64_t>(trailer_, 48, head.size() + length.size() + table_.size());
    for (const auto* part : {&head, &length, &table_, &trailer_}) {
      bytes.insert(bytes.end(), part->begin(), part->end());
    }
    return file_of(bytes);
  }
  void refused(const std::string& words, ErrorKind kind = ErrorKind::format) {
    const io::File image = file();
    expect_refused(kind, words, [&] { return read_layout(image); });
  }

  std::vector<std::byte> table_;
  std::vector<std::byte> trailer_;
};

TEST_F(Dmg, ChunksComeInTheDisksOrder) {
  const Layout layout = read_layout(file());
  EXPECT_EQ(layout.virtual_size, 20U * sector);
  ASSERT_EQ(layout.chunks.size(), 2U);
  EXPECT_EQ(layout.chunks[0].kind, ChunkKind::zlib);
  EXPECT_EQ(layout.chunks[0].guest, (io::ByteRange{sector, 4 * sector}));
  EXPECT_EQ(layout.chunks[0].stored, (io::ByteRange{2048, 100}));
  EXPECT_EQ(layout.chunks[1].kind, ChunkKind::raw);
}

TEST_F(Dmg, TheDiskAndTheDataBeginWhereTheTableSays) {
  put<std::uint64_t>(table_, 8, 2);       // the first sector
  put<std::uint64_t>(table_, 24, 512);    // where its data begin
  put<std::uint64_t>(trailer_, 24, 256);  // where all data begin
  const Layout layout = read_layout(file());
  EXPECT_EQ(layout.chunks[0].guest, (io::ByteRange{3 * sector, 4 * sector}));
  EXPECT_EQ(layout.chunks[0].stored, (io::ByteRange{2048 + 768, 100}));
}

TEST_F(Dmg, TheMapCoversTheDisk) {
  const io::File image = file();
  ChunkMap map(read_layout(image));
  const auto runs = runs_of(map);
  ASSERT_EQ(runs.size(), 5U);
  const auto kind = [&](std::size_t i) { return runs[i].kind; };
  EXPECT_EQ(kind(0), BlockKind::absent);
  EXPECT_EQ(kind(1), BlockKind::packed);
  EXPECT_EQ(kind(2), BlockKind::absent);
  EXPECT_EQ(kind(3), BlockKind::plain);
  EXPECT_EQ(kind(4), BlockKind::absent);
  EXPECT_EQ(map.packed_block(3 * sector), (io::ByteRange{sector, 4 * sector}));
  EXPECT_EQ(map.run_at(9 * sector, 512).host, sector);
}

TEST_F(Dmg, CommentsAndEmptyChunksAreSkipped) {
  put_entry(0, 0x7ffffffe, ~0ULL, ~0ULL, 0, 0);
  put_entry(1, 0x12345678, 0, 0, 0, 0);
  EXPECT_TRUE(read_layout(file()).chunks.empty());
}

TEST_F(Dmg, WhatIsNotBelieved) {
  put_entry(0, 1, 17, 4, 0, 2048);
  refused("past the end of the disk");
  put_entry(0, 1, 3, 4, 0, 2048);
  refused("two chunks");
  put_entry(0, 1, 8, 4, 1024, 2048);
  refused("two chunks");
  put_entry(0, 1, 8, 4, 1ULL << 50, 2048);
  refused("cut short");
  put_entry(0, 1, 8, 4, 0, 2047);
  refused("are stored for a chunk");
  put_entry(0, 0x80000007, 8, 4, 0, 2048);
  refused("LZFSE", ErrorKind::unsupported);
  put_entry(0, 1, 8, 4, 0, 2048);
  put<std::uint32_t>(table_, 200, 3);
  refused("3 chunks");
  put<std::uint32_t>(table_, 200, 2);
  put<std::uint32_t>(trailer_, 60, 2);
  refused("2 parts", ErrorKind::unsupported);
}

}  // namespace
}  // namespace formats::dmg
