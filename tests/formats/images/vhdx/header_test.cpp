// The headers, regions, metadata and the map of a VHDX image.
#include "formats/images/vhdx/header.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/images/vhdx/map.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats::vhdx {
namespace {

using io::ErrorKind;
using io::KiB;
using io::MiB;
using testing_blocks::expect_refused;
using testing_blocks::file_of;
using testing_blocks::runs_of;

constexpr std::size_t first_header = 64 * KiB;
constexpr std::size_t second_header = 128 * KiB;
constexpr std::size_t region_table = 192 * KiB;
constexpr std::size_t metadata_at = 2 * MiB;
constexpr std::size_t items_at = metadata_at + 64 * KiB;
constexpr std::size_t table_at = 3 * MiB;
constexpr std::size_t data_at = 4 * MiB;

// A disk of 4 MiB in blocks of 1 MiB, two of which are stored.
class Vhdx : public testing::Test {
 protected:
  Vhdx() : bytes_(data_at + 2 * MiB) {
    put_text(0, "vhdxfile");
    put<std::uint16_t>(8, 'm');
    put<std::uint16_t>(10, 'e');
    put_header(first_header, 1);
    put_header(second_header, 2);
    put_text(region_table, "regi");
    put<std::uint32_t>(region_table + 8, 2);
    put_region(0,
               {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd,
                0x4a, 0x08},
               table_at);
    put_region(1,
               {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f,
                0x88, 0x6e},
               metadata_at);
    put_text(metadata_at, "metadata");
    put<std::uint16_t>(metadata_at + 10, 4);
    put_item(0,
             {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44,
              0xe7, 0x6b},
             8);
    put<std::uint32_t>(items_at, MiB);
    put_item(1,
             {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b,
              0xf4, 0xb8},
             8);
    put<std::uint64_t>(items_at + 16, 4 * MiB);
    put_item(2,
             {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa,
              0xab, 0x5f},
             4);
    put<std::uint32_t>(items_at + 32, 512);
    put_item(3,
             {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51,
              0xc5, 0x56},
             4);
    put<std::uint32_t>(items_at + 48, 4096);
    put<std::uint64_t>(table_at, (data_at + MiB) | 6);
    put<std::uint64_t>(table_at + 16, data_at | 6);
    put<std::uint64_t>(table_at + 24, 2);
    seal();
  }

  template <class Word>
  void put(std::size_t at, Word value) {
    store_little_endian<Word>(std::span(bytes_), at, value);
  }
  void put_text(std::size_t at, std::string_view text) {
    std::ranges::transform(text, bytes_.begin() + static_cast<std::ptrdiff_t>(at),
                           [](char c) { return std::byte(c); });
  }
  void put_id(std::size_t at, const std::vector<unsigned>& id) {
    for (std::size_t i = 0; i < id.size(); ++i) bytes_[at + i] = std::byte(id[i]);
  }
  void put_header(std::size_t at, std::uint64_t sequence) {
    put_text(at, "head");
    put<std::uint64_t>(at + 8, sequence);
    put<std::uint16_t>(at + 66, 1);
    put<std::uint32_t>(at + 68, MiB);
    put<std::uint64_t>(at + 72, MiB);
  }
  void put_region(std::size_t row, const std::vector<unsigned>& id, std::uint64_t offset) {
    const std::size_t at = region_table + 16 + row * 32;
    put_id(at, id);
    put<std::uint64_t>(at + 16, offset);
    put<std::uint32_t>(at + 24, MiB);
    put<std::uint32_t>(at + 28, 1);
  }
  void put_item(std::size_t row, const std::vector<unsigned>& id, std::uint32_t length) {
    const std::size_t at = metadata_at + 32 + row * 32;
    put_id(at, id);
    put<std::uint32_t>(at + 16, static_cast<std::uint32_t>(64 * KiB + row * 16));
    put<std::uint32_t>(at + 20, length);
    put<std::uint32_t>(at + 24, 4);
  }
  void put_sum(std::size_t at, std::size_t length) {
    put<std::uint32_t>(at + 4, 0);
    put<std::uint32_t>(at + 4, crc32c(std::span(bytes_).subspan(at, length)));
  }
  void seal() {
    put_sum(first_header, 4 * KiB);
    put_sum(second_header, 4 * KiB);
    put_sum(region_table, 64 * KiB);
  }
  void expect_image_refused(const std::string& words, ErrorKind kind = ErrorKind::format) {
    seal();
    const io::File file = file_of(bytes_);
    expect_refused(kind, words, [&] { return open_map(file); });
  }
  template <class Word>
  void refused(std::size_t at, Word value, const std::string& words,
               ErrorKind kind = ErrorKind::format) {
    const std::vector<std::byte> good = bytes_;
    put<Word>(at, value);
    expect_image_refused(words, kind);
    bytes_ = good;
  }

  std::vector<std::byte> bytes_;
};

TEST_F(Vhdx, EveryFieldIsUnderstood) {
  const io::File file = file_of(bytes_);
  const Header header = read_header(file);
  EXPECT_EQ(header.sequence, 2U);
  EXPECT_TRUE(header.log_is_empty());
  EXPECT_EQ(header.log, (io::ByteRange{MiB, MiB}));
  const TablePages pages(file);
  const Regions regions = read_regions(pages);
  EXPECT_EQ(regions.table, (io::ByteRange{table_at, MiB}));
  EXPECT_EQ(regions.metadata, (io::ByteRange{metadata_at, MiB}));
  const Metadata metadata = read_metadata(pages, regions.metadata);
  EXPECT_EQ(metadata.virtual_size, 4 * MiB);
  EXPECT_EQ(metadata.block_size, MiB);
  EXPECT_EQ(metadata.logical_sector, 512U);
  EXPECT_EQ(metadata.physical_sector, 4096U);
  EXPECT_FALSE(metadata.fixed);
  EXPECT_FALSE(metadata.has_parent);
  EXPECT_EQ(metadata.chunk_ratio(), 4096U);
  EXPECT_EQ(metadata.entries(), 4U);
  EXPECT_EQ(read_facts(file).others.front().value,
            (std::variant<std::uint64_t, std::string>("me")));
}

TEST_F(Vhdx, TheTableHasAnEntryForTheBitmapOfEachChunk) {
  Metadata metadata;
  metadata.block_size = MiB;
  metadata.logical_sector = 512;
  const auto entries_of = [&](std::uint64_t blocks) {
    metadata.virtual_size = blocks * MiB;
    return metadata.entries();
  };
  EXPECT_EQ(entries_of(0), 0U);
  EXPECT_EQ(entries_of(1), 1U);
  EXPECT_EQ(entries_of(4096), 4096U);
  EXPECT_EQ(entries_of(4097), 4098U);
  EXPECT_EQ(entries_of(8193), 8195U);
}

TEST_F(Vhdx, TheMapTellsKindsAndPlaces) {
  const io::File file = file_of(bytes_);
  const auto map = open_map(file);
  const auto runs = runs_of(*map);
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[0].kind, BlockKind::plain);
  EXPECT_EQ(runs[0].host, data_at + MiB);
  EXPECT_EQ(runs[1].kind, BlockKind::absent);
  EXPECT_EQ(runs[2].host, data_at);
  EXPECT_EQ(runs[3].kind, BlockKind::zero);
}

TEST_F(Vhdx, EveryFieldIsBounded) {
  refused(0, std::uint8_t{'V'}, "is not a VHDX image");
  refused(second_header + 64, std::uint16_t{1}, "log of version 1", ErrorKind::unsupported);
  refused(second_header + 66, std::uint16_t{2}, "version 2", ErrorKind::unsupported);
  refused(second_header + 68, std::uint32_t{MiB + 4096}, "whole MiB");
  refused(second_header + 68, ~std::uint32_t{0}, "whole MiB");
  refused(second_header + 72, std::uint64_t{0}, "whole MiB");
  refused(second_header + 72, ~std::uint64_t{0} - MiB + 1, "whole MiB");
  refused(region_table + 8, std::uint32_t{2048}, "too many");
  refused(region_table + 8, std::uint32_t{1}, "no region for metadata");
  refused(region_table + 8, std::uint32_t{0}, "no region for the block table");
  refused(region_table + 32, std::uint64_t{0}, "whole MiB");
  refused(region_table + 32, std::uint64_t{metadata_at}, "the same place");
  refused(region_table + 32, ~std::uint64_t{0} - MiB + 1, "whole MiB");
  refused(region_table + 40, std::uint32_t{0}, "whole MiB");
  refused(region_table + 40, std::uint32_t{64 * MiB}, "whole MiB");
  refused(region_table + 16, std::uint8_t{0}, "only readers who know it", ErrorKind::unsupported);
  refused(metadata_at, std::uint8_t{0}, "should be the metadata table");
  refused(metadata_at + 10, std::uint16_t{2048}, "too many");
  refused(metadata_at + 10, std::uint16_t{0}, "file parameters is missing");
  refused(metadata_at + 10, std::uint16_t{3}, "physical sector size is missing");
  refused(metadata_at + 32, std::uint8_t{0}, "only readers who know it", ErrorKind::unsupported);
  refused(metadata_at + 48, std::uint32_t{512}, "outside of it");
  refused(metadata_at + 48, std::uint32_t{MiB - 4}, "outside of it");
  refused(metadata_at + 52, std::uint32_t{4}, "has 4 bytes");
  refused(metadata_at + 52, ~std::uint32_t{0}, "outside of it");
  refused(items_at, std::uint32_t{0}, "block size of 0");
  refused(items_at, std::uint32_t{MiB / 2}, "is impossible");
  refused(items_at, std::uint32_t{512 * MiB}, "is impossible");
  refused(items_at, std::uint32_t{3 * MiB}, "is impossible");
  refused(items_at + 16, std::uint64_t{4 * MiB + 1}, "is impossible");
  refused(items_at + 16, ~std::uint64_t{511}, "is impossible");
  refused(items_at + 16, std::uint64_t{1} << 40, "is too short");
  refused(items_at + 32, std::uint32_t{1024}, "logical sector size of 1024");
  refused(items_at + 48, std::uint32_t{0}, "physical sector size of 0");
}

TEST_F(Vhdx, WordsOfTheTableAreBounded) {
  const auto word = [this](std::uint64_t value, const std::string& words) {
    refused(table_at + 8, value, words);
  };
  word(4, "no such state");
  word(7, "needs a parent");
  word(data_at | 6 | 8, "no such state or bits");
  word(data_at | 6, "of two blocks");
  word(0 | 6, "where the header is");
  word(MiB | 6, "where the log is");
  word(metadata_at | 6, "where the metadata is");
  word(table_at | 6, "where the block table is");
  word((data_at + 2 * MiB) | 6, "it was cut short");
  word(~std::uint64_t{0} << 20 | 6, "it was cut short");
}

TEST_F(Vhdx, AParentIsTold) {
  EXPECT_FALSE(parent_of(file_of(bytes_)).has_value());
  put<std::uint32_t>(items_at + 4, 2);
  seal();
  const io::File file = file_of(bytes_);
  const auto parent = parent_of(file);
  ASSERT_TRUE(parent.has_value());
  EXPECT_TRUE(parent->beside);
  EXPECT_EQ(parent->format, Format::vhdx);
  EXPECT_TRUE(parent->identities.empty());
}

TEST_F(Vhdx, TheLogLiesInAPlaceOfItsOwn) {
  refused(second_header + 72, std::uint64_t{metadata_at}, "where the block table or the metadata");
  refused(second_header + 72, std::uint64_t{table_at}, "where the block table or the metadata");
}

TEST_F(Vhdx, TheNewerOfTwoHeadersIsInForce) {
  put<std::uint64_t>(first_header + 8, 3);
  put<std::uint32_t>(first_header + 68, 0);
  seal();
  const io::File file = file_of(bytes_);
  EXPECT_EQ(read_header(file).sequence, 3U);
  EXPECT_TRUE(read_header(file).log.empty());
  put<std::uint64_t>(first_header + 8, 2);
  expect_image_refused("different things");
}

TEST_F(Vhdx, ALogThatCannotBeReplayedIsRefused) {
  put<std::uint64_t>(second_header + 48, 1);
  expect_image_refused("nothing in it is whole");
  put<std::uint32_t>(second_header + 68, 0);
  expect_image_refused("has to be replayed", ErrorKind::unsupported);
}

TEST(VhdxPatches, LaterOnesCoverEarlierOnes) {
  Patches patches;
  const std::vector<std::byte> ones(log_sector, std::byte{1});
  const std::vector<std::byte> twos(log_sector, std::byte{2});
  patches.add_data(8192, ones);
  patches.add_zeros({0, 16384});
  patches.add_data(4096, ones);
  patches.add_data(4096, twos);
  std::vector<std::byte> bytes(20480, std::byte{9});
  patches.apply(0, bytes);
  EXPECT_EQ(bytes[4095], std::byte{0});
  EXPECT_EQ(bytes[4096], std::byte{2});
  EXPECT_EQ(bytes[8191], std::byte{2});
  EXPECT_EQ(bytes[8192], std::byte{0});
  EXPECT_EQ(bytes[16383], std::byte{0});
  EXPECT_EQ(bytes[16384], std::byte{9});
  std::vector<std::byte> piece(100, std::byte{9});
  patches.apply(4096 - 50, piece);
  EXPECT_EQ(piece[49], std::byte{0});
  EXPECT_EQ(piece[50], std::byte{2});
  EXPECT_EQ(patches.next(16383).range, (io::ByteRange{8192, 8192}));
  EXPECT_TRUE(patches.next(16384).range.empty());
}

TEST(VhdxPatches, ZerosCutDataInTwo) {
  Patches patches;
  std::vector<std::byte> data(log_sector, std::byte{1});
  data.back() = std::byte{7};
  patches.add_data(0, data);
  patches.add_zeros({100, 200});
  std::vector<std::byte> bytes(log_sector, std::byte{9});
  patches.apply(0, bytes);
  EXPECT_EQ(bytes[99], std::byte{1});
  EXPECT_EQ(bytes[100], std::byte{0});
  EXPECT_EQ(bytes[299], std::byte{0});
  EXPECT_EQ(bytes[300], std::byte{1});
  EXPECT_EQ(bytes.back(), std::byte{7});
}

}  // namespace
}  // namespace formats::vhdx
