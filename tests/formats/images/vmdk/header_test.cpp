// The header, the footer and the tables of a VMDK image: what is right is understood, what breaks a
// rule refused.
#include "formats/images/vmdk/header.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <gtest/gtest.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/vmdk/map.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats::vmdk {
namespace {

using io::ErrorKind;
using testing_blocks::expect_refused;
using testing_blocks::file_of;
using testing_blocks::runs_of;

constexpr std::uint64_t grain = 4096;
constexpr std::uint64_t capacity = 2 * 64 * 8 - 3;  // sectors: two tables
constexpr std::uint64_t directory = 21;
constexpr std::uint64_t table = 22;  // of the first grains; the second table is not there
constexpr std::uint64_t data = 24;
constexpr std::uint32_t marked = 0x30001;

class Vmdk : public testing::Test {
 protected:
  Vmdk() : bytes_((data + 4 * 8) * sector) {
    put_header(0, directory);
    put_text(sector, "CID=1\nparentCID=ffffffff\ncreateType=\"x\"\nRW 1021 SPARSE \"a\"\n");
    put<std::uint32_t>(directory * sector, table);
    set_entry(0, data);
    set_entry(1, data + 8);
    set_entry(5, data + 16);
  }

  template <class Word>
  void put(std::size_t at, Word value) {
    store_little_endian<Word>(std::span(bytes_), at, value);
  }
  void put_text(std::size_t at, std::string_view text) {
    std::ranges::transform(text, bytes_.begin() + static_cast<std::ptrdiff_t>(at),
                           [](char c) { return std::byte(c); });
  }
  void put_header(std::size_t at, std::uint64_t where, std::uint32_t flags = 1) {
    put_text(at, "KDMV");
    put<std::uint32_t>(at + 4, 1);
    put<std::uint32_t>(at + 8, flags);
    put<std::uint64_t>(at + 12, capacity);
    put<std::uint64_t>(at + 20, grain / sector);
    put<std::uint64_t>(at + 28, 1);
    put<std::uint64_t>(at + 36, 20);
    put<std::uint32_t>(at + 44, 64);
    put<std::uint64_t>(at + 56, where);
    put_text(at + 73, "\n \r\n");
    put<std::uint16_t>(at + 77, flags == 1 ? 0 : 1);
  }
  void set_entry(std::size_t index, std::uint32_t where) {
    put<std::uint32_t>(table * sector + index * 4, where);
  }
  // A footer marker, the footer, and the marker of the end.
  void add_footer() {
    put_header(0, at_end, marked);
    const std::size_t end = bytes_.size();
    bytes_.resize(end + 3 * sector);
    put<std::uint64_t>(end, 1);
    put<std::uint32_t>(end + 12, 3);
    put_header(end + sector, directory, marked);
  }
  [[nodiscard]] Layout layout() const { return read_layout(file_of(bytes_)); }
  void expect_layout_refused(const std::string& words, ErrorKind kind = ErrorKind::format) const {
    expect_refused(kind, words, [this] { return layout(); });
  }
  void expect_map_refused(const std::string& words) const {
    const io::File file = file_of(bytes_);
    expect_refused(ErrorKind::format, words, [&] { return runs_of(*open_map(file)); });
  }

  std::vector<std::byte> bytes_;
};

TEST_F(Vmdk, HasItsFields) {
  put<std::uint8_t>(72, 1);
  const Header header = layout().header;
  EXPECT_EQ(header.capacity, capacity);
  EXPECT_EQ(header.grain_bytes(), grain);
  EXPECT_EQ(header.tables(), 2U);
  EXPECT_EQ(header.directory, directory);
  EXPECT_TRUE(header.unclean);
  EXPECT_FALSE(header.compressed);
  EXPECT_FALSE(header.zero_grains);
}

TEST_F(Vmdk, MapsGrains) {
  const io::File file = file_of(bytes_);
  const auto map = open_map(file);
  const auto runs = runs_of(*map);
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[0].kind, BlockKind::plain);
  EXPECT_EQ(runs[0].host, data * sector);
  EXPECT_EQ(runs[0].length, 2 * grain);
  EXPECT_EQ(runs[1].kind, BlockKind::absent);
  EXPECT_EQ(runs[2].host, (data + 16) * sector);
  EXPECT_EQ(runs[2].length, grain);
  EXPECT_EQ(runs[3].kind, BlockKind::absent);
  EXPECT_EQ(map->guest_size(), capacity * sector);
}

TEST_F(Vmdk, PackedGrainsEndWhereTheNextBeginsAtTheLatest) {
  put_header(0, directory, marked);
  const io::File file = file_of(bytes_);
  const auto runs = runs_of(*open_map(file));
  ASSERT_GE(runs.size(), 4U);
  EXPECT_EQ(runs[0].kind, BlockKind::packed);
  EXPECT_EQ(runs[0].stored_bytes, 8 * sector);
  EXPECT_EQ(runs[0].length, grain);
  // Of the others: twice a grain and the marker, or the end of the file.
  EXPECT_EQ(runs[1].stored_bytes, io::align_up(2 * grain + 12, sector));
  EXPECT_EQ(runs[3].stored_bytes, 16 * sector);
}

TEST_F(Vmdk, ZeroGrainsNeedTheirFlag) {
  set_entry(1, 1);
  expect_map_refused("grain 1");
  put_header(0, directory, 1 | 4);
  const io::File file = file_of(bytes_);
  EXPECT_EQ(runs_of(*open_map(file))[1].kind, BlockKind::zero);
}

TEST_F(Vmdk, TheFooterHasTheDirectory) {
  add_footer();
  EXPECT_EQ(layout().header.directory, directory);
  bytes_.resize(bytes_.size() + 40 * sector);
  EXPECT_EQ(layout().header.directory, directory);
}

TEST_F(Vmdk, AStreamWithoutItsEndWasCutShort) {
  add_footer();
  const auto whole = bytes_;
  bytes_.resize(whole.size() - 2 * sector);
  expect_layout_refused("was cut short");
  bytes_.assign(whole.begin(), whole.begin() + data * sector);
  expect_layout_refused("was cut short");
}

TEST_F(Vmdk, AFooterOfAnotherDiskIsRefused) {
  add_footer();
  put<std::uint64_t>(bytes_.size() - 2 * sector + 12, capacity + 8);
  expect_layout_refused("different disks");
}

TEST_F(Vmdk, RefusesWhatItDoesNotKnow) {
  put<std::uint32_t>(4, 4);
  expect_layout_refused("version 4", ErrorKind::unsupported);
  put<std::uint32_t>(4, 1);
  put<std::uint32_t>(8, 0x40001);
  expect_layout_refused("flags 0x40001", ErrorKind::unsupported);
  put_header(0, directory, marked);
  put<std::uint16_t>(77, 2);
  expect_layout_refused("compression 2");
}

TEST_F(Vmdk, RefusesImpossibleGrains) {
  for (const std::uint64_t sectors : std::to_array<std::uint64_t>({0, 4, 9, 1 << 18})) {
    put<std::uint64_t>(20, sectors);
    expect_layout_refused("grains of");
  }
  put_header(0, directory, marked);
  put<std::uint64_t>(20, 1 << 12);  // packed, it is decoded as a whole
  expect_layout_refused("grains of");
  put_header(0, directory);
  for (const std::uint32_t entries : std::to_array<std::uint32_t>({0, 32, 65, 1024})) {
    put<std::uint32_t>(44, entries);
    expect_layout_refused("entries are impossible");
  }
}

TEST_F(Vmdk, RefusesADirectoryOfMoreThan64MiB) {
  put<std::uint64_t>(12, (most_directory_bytes / 4) * 64 * 8 + 1);
  expect_layout_refused("too large");
  put<std::uint64_t>(12, ~std::uint64_t{0});
  expect_layout_refused("too large");
}

TEST_F(Vmdk, RefusesPartsOfADisk) {
  put_text(sector, "RW 5 SPARSE \"a\"\nRW 6 SPARSE \"b\"\n#");
  expect_layout_refused(" parts", ErrorKind::refused);
  std::fill_n(bytes_.begin() + sector, 20 * sector, std::byte{0});
  expect_layout_refused("one part of a VMware disk", ErrorKind::refused);
}

TEST_F(Vmdk, RefusesADescriptorOutsideOfTheFile) {
  put<std::uint64_t>(28, 1000);
  expect_layout_refused("goes past the end");
  put<std::uint64_t>(28, 1);
  put<std::uint64_t>(36, 4096);
  expect_layout_refused("too long");
}

TEST_F(Vmdk, RefusesTablesInTheWrongPlace) {
  put<std::uint64_t>(56, 1 << 20);
  expect_map_refused("was cut short");
  put<std::uint64_t>(56, 0);
  expect_map_refused("grain directory");
  put<std::uint64_t>(56, directory);
  put<std::uint32_t>(directory * sector, 1 << 20);
  expect_map_refused("grain table 0");
  put<std::uint32_t>(directory * sector, 1);
  expect_map_refused("two tables");
  put<std::uint32_t>(directory * sector, table);
  put<std::uint32_t>(directory * sector + 4, table);
  expect_map_refused("two tables");
}

TEST_F(Vmdk, RefusesGrainsInTheWrongPlace) {
  set_entry(7, data + 33);
  expect_map_refused("was cut short");
  set_entry(7, data + 16);
  expect_map_refused("where another one is");
  for (const std::uint32_t where : std::to_array<std::uint32_t>({1, 20, 21, 22, 15})) {
    set_entry(7, where);
    expect_map_refused("where the header or a table is");
  }
}

TEST_F(Vmdk, RefusesWhatWasCopiedAsAText) {
  put<std::uint8_t>(75, '\n');
  expect_layout_refused("line ends");
}

}  // namespace
}  // namespace formats::vmdk
