// The footer, the dynamic header and the map of a VHD image.
#include "formats/images/vhd/footer.hpp"

#include <algorithm>
#include <functional>

#include <gtest/gtest.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/vhd/map.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats::vhd {
namespace {

using io::ErrorKind;
using io::MiB;
using testing_blocks::expect_refused;
using testing_blocks::file_of;
using testing_blocks::runs_of;

constexpr std::uint64_t block = 4096;
constexpr std::uint64_t disk = 3 * block - 512;
constexpr std::uint64_t table_at = 1536;
constexpr std::uint64_t data_at = 2048;
constexpr std::uint64_t stride = 512 + block;
constexpr std::uint32_t none = 0xffffffff;

// A dynamic image of three small blocks, two of which are stored.
class Vhd : public testing::Test {
 protected:
  Vhd() : bytes_(data_at + 2 * stride + footer_bytes) {
    put_text(0, "conectix");
    put<std::uint32_t>(8, 2);
    put<std::uint32_t>(12, 0x10000);
    put<std::uint64_t>(16, 512);
    put_text(28, "win ");
    put<std::uint64_t>(48, disk);
    put<std::uint16_t>(56, 65535);
    bytes_[58] = std::byte{16};
    bytes_[59] = std::byte{255};
    put<std::uint32_t>(60, 3);
    put_text(512, "cxsparse");
    put<std::uint64_t>(512 + 16, table_at);
    put<std::uint32_t>(512 + 24, 0x10000);
    put<std::uint32_t>(512 + 28, 3);
    put<std::uint32_t>(512 + 32, block);
    set_table({(data_at + stride) / 512, none, data_at / 512});
    set_bitmap(data_at, 0xff);
    set_bitmap(data_at + stride, 0xff);
    seal();
  }

  template <class Word>
  void put(std::size_t at, Word value) {
    store_big_endian<Word>(std::span(bytes_), at, value);
  }
  void put_text(std::size_t at, std::string_view text) {
    std::ranges::transform(text, bytes_.begin() + static_cast<std::ptrdiff_t>(at),
                           [](char c) { return std::byte(c); });
  }
  void set_table(const std::vector<std::uint64_t>& sectors) {
    for (std::size_t i = 0; i < sectors.size(); ++i) {
      put(table_at + 4 * i, static_cast<std::uint32_t>(sectors[i]));
    }
  }
  void set_bitmap(std::size_t at, unsigned bits) { bytes_[at] = std::byte(bits); }
  void put_sum(std::size_t begin, std::size_t length, std::size_t at) {
    put<std::uint32_t>(begin + at, 0);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < length; ++i) {
      sum += std::to_integer<std::uint32_t>(bytes_[begin + i]);
    }
    put<std::uint32_t>(begin + at, ~sum);
  }
  // Right checksums, and the footer at the end too.
  void seal() {
    put_sum(0, footer_bytes, 64);
    put_sum(512, dynamic_header_bytes, 36);
    std::copy_n(bytes_.begin(), footer_bytes, bytes_.end() - footer_bytes);
  }
  void expect_layout_refused(const std::string& words, ErrorKind kind = ErrorKind::format) {
    seal();
    const io::File file = file_of(bytes_);
    expect_refused(kind, words, [&] { return read_layout(file); });
  }
  void expect_map_refused(const std::string& words) const {
    const io::File file = file_of(bytes_);
    expect_refused(ErrorKind::format, words, [&] { return open_map(file); });
  }

  std::vector<std::byte> bytes_;
};

TEST_F(Vhd, EveryFieldIsUnderstood) {
  const io::File file = file_of(bytes_);
  const Layout layout = read_layout(file);
  EXPECT_EQ(layout.footer.kind, Kind::dynamic);
  EXPECT_EQ(layout.footer.creator, "win ");
  EXPECT_EQ(layout.footer.current_size, disk);
  EXPECT_TRUE(layout.footer.largest_geometry);
  EXPECT_EQ(layout.footer.header_offset, 512U);
  EXPECT_FALSE(layout.end_is_missing);
  EXPECT_EQ(layout.footer_offset, bytes_.size() - 512);
  ASSERT_TRUE(layout.header);
  EXPECT_EQ(layout.header->table_offset, table_at);
  EXPECT_EQ(layout.header->entries, 3U);
  EXPECT_EQ(layout.header->block_size, block);
  EXPECT_EQ(layout.header->bitmap_bytes(), 512U);
}

TEST_F(Vhd, TheMapTellsKindsAndPlaces) {
  const io::File file = file_of(bytes_);
  const auto runs = runs_of(*open_map(file));
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].kind, BlockKind::plain);
  EXPECT_EQ(runs[0].host, data_at + stride + 512);
  EXPECT_EQ(runs[1].kind, BlockKind::absent);
  EXPECT_EQ(runs[2].host, data_at + 512);
  EXPECT_EQ(runs[2].length, block - 512);
}

TEST_F(Vhd, SectorsWhoseBitIsClearAreAbsent) {
  set_bitmap(data_at + stride, 0b10110000);
  const io::File file = file_of(bytes_);
  const auto map = open_map(file);
  const auto runs = runs_of(*map);
  ASSERT_EQ(runs.size(), 6U);
  const std::uint64_t content = data_at + stride + 512;
  EXPECT_EQ(runs[0].kind, BlockKind::plain);
  EXPECT_EQ(runs[0].length, 512U);
  EXPECT_EQ(runs[1].kind, BlockKind::absent);
  EXPECT_EQ(runs[2].kind, BlockKind::plain);
  EXPECT_EQ(runs[2].host, content + 1024);
  EXPECT_EQ(runs[2].length, 1024U);
  EXPECT_EQ(runs[3].kind, BlockKind::absent);
  EXPECT_EQ(runs[3].length, block - 2048);
  const BlockRun inside = map->run_at(1200, 100);
  EXPECT_EQ(inside.host, content + 1200);
  EXPECT_EQ(inside.length, 100U);
  EXPECT_EQ(map->run_at(1500, 4000).length, 2048U - 1500);
}

TEST_F(Vhd, TheSizeGoesByTheCreator) {
  Footer footer;
  footer.current_size = 8 * MiB;
  footer.geometry_size = 8 * MiB - 32 * io::KiB;
  for (const std::string creator : {"vpc ", "qemu"}) {
    footer.creator = creator;
    EXPECT_EQ(footer.virtual_size(), footer.geometry_size) << creator;
  }
  for (const std::string creator : {"win ", "qem2", "vbox", "wa\0\0", "tap ", "????"}) {
    footer.creator = creator;
    EXPECT_EQ(footer.virtual_size(), footer.current_size) << creator;
  }
  footer.creator = "vpc ";
  footer.largest_geometry = true;
  EXPECT_EQ(footer.virtual_size(), footer.current_size);
}

TEST_F(Vhd, AFooterNeedsItsChecksum) {
  const auto start = std::span(bytes_).first(footer_bytes);
  EXPECT_TRUE(parse_footer(start, 0, "image"));
  EXPECT_TRUE(parse_footer(start.first(511), 0, "image"));
  EXPECT_FALSE(parse_footer(start.first(510), 0, "image"));
  bytes_[85] = std::byte{1};  // tapdisk's, which it does not sum up
  EXPECT_TRUE(parse_footer(start, 0, "image"));
  bytes_[86] = std::byte{1};
  EXPECT_FALSE(parse_footer(start, 0, "image"));
}

TEST_F(Vhd, TheCopyStandsInForAMissingEnd) {
  bytes_.resize(bytes_.size() - footer_bytes);
  const io::File file = file_of(bytes_);
  EXPECT_TRUE(read_layout(file).end_is_missing);
  EXPECT_EQ(runs_of(*open_map(file)).size(), 3U);
  bytes_[100] = std::byte{1};
  const io::File broken = file_of(bytes_);
  expect_refused(ErrorKind::format, "is not a VHD image", [&] { return read_layout(broken); });
}

TEST_F(Vhd, AShortFooterAtTheEndIsTaken) {
  bytes_.pop_back();
  const io::File file = file_of(bytes_);
  EXPECT_EQ(read_layout(file).footer_offset, bytes_.size() - 511);
  EXPECT_EQ(runs_of(*open_map(file)).size(), 3U);
}

TEST_F(Vhd, EveryFieldIsBounded) {
  const std::vector<std::byte> good = bytes_;
  const auto refused = [&]<class Word>(std::size_t at, Word value, const std::string& words) {
    put<Word>(at, value);
    expect_layout_refused(words);
    bytes_ = good;
  };
  refused(60, std::uint32_t{0}, "no VHD type 0");
  refused(60, std::uint32_t{5}, "no VHD type 5");
  refused(16, std::uint64_t{513}, "not at a sector");
  refused(16, ~std::uint64_t{0} - 511, "past its end");
  refused(16, std::uint64_t{0}, "should be the header");
  refused(48, 3 * block + 1, "its blocks only");
  refused(48, ~std::uint64_t{0}, "its blocks only");
  refused(512 + 16, std::uint64_t{1537}, "not at a sector");
  refused(512 + 16, ~std::uint64_t{0} - 511, "past its end");
  refused(512 + 24, std::uint32_t{0x20000}, "header version");
  refused(512 + 28, std::uint32_t{2}, "its blocks only");
  refused(512 + 28, ~std::uint32_t{0}, "too long");
  refused(512 + 28, std::uint32_t{1 << 20}, "past its end");
  refused(512 + 32, std::uint32_t{0}, "block size of 0");
  refused(512 + 32, std::uint32_t{4097}, "is impossible");
  refused(512 + 32, std::uint32_t{256}, "is impossible");
  refused(512 + 32, std::uint32_t{1} << 29, "is impossible");
  bytes_[512 + 50] = std::byte{1};
  const io::File file = file_of(bytes_);
  expect_refused(ErrorKind::format, "checksum of the dynamic header",
                 [&] { return read_layout(file); });
}

TEST_F(Vhd, OtherVersionsAreNotSupported) {
  put<std::uint32_t>(12, 0x20001);
  expect_layout_refused("version 2.1", ErrorKind::unsupported);
}

TEST_F(Vhd, BlocksLieInPlacesOfTheirOwn) {
  const auto refused = [this](const std::vector<std::uint64_t>& sectors, const std::string& words) {
    set_table(sectors);
    expect_map_refused(words);
  };
  refused({data_at / 512, none, data_at / 512}, "of two blocks");
  refused({data_at / 512, none, data_at / 512 + 1}, "of two blocks");
  refused({0, none, none}, "where the copy of the footer is");
  refused({1, none, none}, "where the dynamic header is");
  refused({3, none, none}, "where the block table is");
  refused({data_at / 512 + 10, none, none}, "where the footer is");
  refused({none, none, 0xfffffffe}, "it was cut short");
}

TEST_F(Vhd, ADifferencingImageNamesItsParent) {
  put<std::uint32_t>(60, 4);
  put_text(512 + 64, std::string_view("\0b\0a\0s\0e", 8));
  put_text(512 + 40, "0123456789abcdef");
  seal();
  const io::File file = file_of(bytes_);
  const auto parent = parent_of(file);
  ASSERT_TRUE(parent.has_value());
  EXPECT_EQ(parent->name, "base");
  EXPECT_TRUE(parent->beside);
  EXPECT_EQ(parent->identities, std::vector<std::string>{"30313233343536373839616263646566"});
  EXPECT_EQ(read_facts(file).backing_file, "base");
}

TEST_F(Vhd, AFixedImageIsItsOwnContent) {
  put<std::uint32_t>(60, 2);
  put<std::uint64_t>(48, bytes_.size() - 512);
  seal();
  {
    const io::File file = file_of(bytes_);
    EXPECT_EQ(look_at_end(file), Ending::fixed);
    const auto runs = runs_of(*open_map(file));
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].host, 0U);
    EXPECT_EQ(runs[0].length, bytes_.size() - 512);
  }
  put<std::uint64_t>(48, bytes_.size());
  seal();
  expect_map_refused("it was cut short");
}

TEST_F(Vhd, AnEndCountsWhereItIsRight) {
  EXPECT_EQ(look_at_end(file_of(bytes_)), Ending::other);
  bytes_[bytes_.size() - 100] = std::byte{1};
  EXPECT_EQ(look_at_end(file_of(bytes_)), Ending::none);
  EXPECT_EQ(look_at_end(file_of({})), Ending::none);
}

}  // namespace
}  // namespace formats::vhd
