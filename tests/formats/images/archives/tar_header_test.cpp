// One header block of a tar archive, and what pax says of the next member.
#include "formats/images/archives/tar/header.hpp"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace formats::tar {
namespace {

class TarHeader : public testing::Test {
 protected:
  TarHeader() {
    put(0, "disk.img");
    put(124, "00000001750");  // 1000
    put(156, "0");
    put(257, std::string_view("ustar\0"
                              "00",
                              8));
    sum();
  }
  void put(std::size_t at, std::string_view text) {
    std::ranges::transform(text, block_.begin() + static_cast<std::ptrdiff_t>(at),
                           [](char c) { return std::byte(c); });
  }
  // Of all bytes, the sum's own taken for blanks.
  void sum() {
    put(148, "        ");
    unsigned total = 0;
    for (const std::byte byte : block_) total += std::to_integer<unsigned>(byte);
    put(148, fmt::format("{:06o}", total));
    block_.at(154) = std::byte{0};
  }

  std::array<std::byte, block_bytes> block_{};
};

TEST_F(TarHeader, NameTypeAndSize) {
  const auto header = parse_header(block_);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->name, "disk.img");
  EXPECT_EQ(header->type, '0');
  EXPECT_EQ(header->size, 1000U);
}

TEST_F(TarHeader, APrefixStandsBeforeTheName) {
  put(345, "folder/inner");
  sum();
  EXPECT_EQ(parse_header(block_)->name, "folder/inner/disk.img");
}

TEST_F(TarHeader, SizesInBinaryAreTaken) {
  put(124, std::string_view("\x80\0\0\0\0\0\0\x10\0\0\0\0", 12));  // 64 GiB
  sum();
  EXPECT_EQ(parse_header(block_)->size, std::uint64_t{1} << 36);
  put(124, std::string_view("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12));
  sum();
  EXPECT_FALSE(parse_header(block_));
}

TEST_F(TarHeader, WhatIsNoHeader) {
  put(0, "x");
  EXPECT_FALSE(parse_header(block_)) << "its sum is another one";
  put(124, "12345678999");
  sum();
  EXPECT_FALSE(parse_header(block_)) << "no octal number";
  EXPECT_FALSE(parse_header(std::array<std::byte, block_bytes>{})) << "the end of the archive";
}

TEST_F(TarHeader, SegmentsOfGnusSparseMembers) {
  put(156, "S");
  put(386, "00000000000");
  put(398, "00000001000");
  put(410, "00000010000");
  put(422, "00000000400");
  put(483, "00000020000");
  sum();
  const auto header = parse_header(block_);
  ASSERT_TRUE(header);
  ASSERT_EQ(header->segments.size(), 2U);
  EXPECT_EQ(header->segments[1], (io::ByteRange{4096, 256}));
  EXPECT_EQ(header->real_size, 8192U);
  EXPECT_FALSE(header->segments_go_on);
}

// Each line begins with its own length.
std::string record(std::string_view key, std::string_view value) {
  const std::string rest = fmt::format(" {}={}\n", key, value);
  std::size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

TEST(Pax, SaysNameAndSize) {
  PaxRecords records;
  ASSERT_TRUE(parse_pax(
      record("path", "a name = with signs\nin it") + record("size", "123456789012"), records));
  EXPECT_EQ(records.name, "a name = with signs\nin it");
  EXPECT_EQ(records.size, 123456789012U);
  EXPECT_FALSE(records.sparse);
}

TEST(Pax, SparseMapsInOneRecordOrInMany) {
  for (const std::string& map :
       {record("GNU.sparse.map", "0,512,4096,1024"),
        record("GNU.sparse.offset", "0") + record("GNU.sparse.numbytes", "512") +
            record("GNU.sparse.offset", "4096") + record("GNU.sparse.numbytes", "1024")}) {
    PaxRecords records;
    ASSERT_TRUE(parse_pax(record("GNU.sparse.size", "8192") + map, records));
    EXPECT_EQ(records.real_size, 8192U);
    EXPECT_EQ(records.segments, (std::vector<io::ByteRange>{{0, 512}, {4096, 1024}}));
  }
}

TEST(Pax, DamageIsNoticed) {
  for (const std::string_view text :
       {"99 path=x\n", "0 path=x\n", "9 path=x", "x path=y\n", "5\n"}) {
    PaxRecords records;
    EXPECT_FALSE(parse_pax(text, records)) << text;
  }
}

TEST(Decimal, DigitsAloneUpToALimit) {
  EXPECT_EQ(parse_decimal("0"), 0U);
  EXPECT_EQ(parse_decimal("4611686018427387904"), largest_member);
  for (const std::string_view text :
       {"", "-1", "+1", " 1", "1 ", "0x1", "4611686018427387905", "99999999999999999999"}) {
    EXPECT_FALSE(parse_decimal(text)) << text;
  }
}

}  // namespace
}  // namespace formats::tar
