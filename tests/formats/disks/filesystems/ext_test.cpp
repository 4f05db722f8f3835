#include "formats/disks/filesystems/ext.hpp"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>

#include "formats/disks/filesystems/ext/superblock.hpp"
#include "tests/fuzz/file_system_fuzz.hpp"

namespace {

using formats::filesystems::FileSystem;
using formats::filesystems::Reason;
using formats::filesystems::SparseDisk;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t superblock = formats::filesystems::ext::superblock_offset;

SparseDisk fixture(const std::string& name) {
  std::ifstream file(std::string(IMGTOOL_TESTS) + "/fuzz/corpus/ext/" + name, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  return formats::filesystems::disk_from(std::as_bytes(std::span(bytes)));
}

FileSystem probe(SparseDisk& disk) {
  formats::DiskView view(formats::filesystems::shared_ring(), disk);
  return formats::filesystems::probe_ext(view).value();
}

std::uint64_t length_of(const std::vector<io::ByteRange>& ranges) {
  std::uint64_t length = 0;
  for (const io::ByteRange range : ranges) length += range.length;
  return length;
}

class ExtFixture : public testing::TestWithParam<const char*> {
 protected:
  SparseDisk disk_ = fixture(GetParam());
};

TEST_P(ExtFixture, IsMapped) {
  const auto found = probe(disk_);
  EXPECT_EQ(found.reason, Reason::none) << found.kept_because;
  EXPECT_EQ(found.type.substr(0, 3), "ext");
  EXPECT_EQ(found.size, disk_.size());
  EXPECT_GT(length_of(found.free), found.size / 8);
  EXPECT_LT(length_of(found.free), found.size);
  ASSERT_FALSE(found.witnesses.empty());
  EXPECT_TRUE(found.witnesses.front().contains(superblock));
}

TEST_P(ExtFixture, IsKeptWhenItsKernelFoundErrors) {
  disk_.put<std::uint16_t>(superblock + 0x3A, 2);
  const auto found = probe(disk_);
  EXPECT_EQ(found.reason, Reason::damaged);
  EXPECT_THAT(found.free, IsEmpty());
  EXPECT_THAT(found.witnesses, IsEmpty());
}

TEST_P(ExtFixture, IsKeptWithFeaturesThatAreNotKnown) {
  disk_.put<std::uint32_t>(superblock + 0x4C, 1);
  disk_.put<std::uint8_t>(superblock + 0x63, 0x80);
  const auto found = probe(disk_);
  EXPECT_NE(found.reason, Reason::none);  // or damaged: the superblock has a checksum
  EXPECT_THAT(found.free, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, ExtFixture,
                         testing::Values("plain", "ext2", "ext3", "ext4", "bigalloc", "meta_bg",
                                         "no_checksums", "mmp"),
                         [](const auto& kind) { return kind.param; });

TEST(Ext, WhatWasNotUnmountedIsSeenThroughItsJournal) {
  auto disk = fixture("ext4_dirty");
  EXPECT_EQ(probe(disk).reason, Reason::none) << probe(disk).kept_because;
}

TEST(Ext, AnotherHostThatMayUseItKeepsIt) {
  auto disk = fixture("mmp");
  const auto clean = probe(disk);
  ASSERT_GE(clean.witnesses.size(), 2U);
  disk.put<std::uint32_t>(clean.witnesses[1].offset + 4, 1);  // a sequence number: mounted
  const auto found = probe(disk);
  EXPECT_EQ(found.reason, Reason::in_use);
  EXPECT_THAT(found.kept_because, HasSubstr("another host"));
}

}  // namespace
