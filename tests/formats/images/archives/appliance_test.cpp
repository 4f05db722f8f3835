// The texts of an appliance, and which member of an archive is the image.
#include "formats/images/archives/ova/package.hpp"

#include <gtest/gtest.h>

#include "formats/images/archives/member_choice.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

TEST(Descriptor, DisksWithTheirFilesInItsOrder) {
  const auto disks = ova::parse_descriptor(R"(<?xml version="1.0"?>
    <Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
      <References>
        <File ovf:href="b&amp;1.vmdk" ovf:id="file2"/><File ovf:href="a.vmdk" ovf:id="file1"/>
      </References>
      <DiskSection>
        <Disk ovf:diskId="d1" ovf:fileRef="file1" ovf:capacity="8" ovf:capacityAllocationUnits="byte * 2^30"/>
        <Disk ovf:diskId="d2" ovf:fileRef="file2" ovf:capacity="4096"/>
        <Disk ovf:diskId="empty" ovf:capacity="1"/>
      </DiskSection>
    </Envelope>)");
  ASSERT_EQ(disks.size(), 3U);
  EXPECT_EQ(disks[0].file, "a.vmdk");
  EXPECT_EQ(disks[0].capacity, std::uint64_t{8} << 30);
  EXPECT_EQ(disks[1].file, "b&1.vmdk");
  EXPECT_EQ(disks[1].capacity, 4096U);
  EXPECT_EQ(disks[2].file, "");
  EXPECT_EQ(ova::stored_disks(disks).size(), 2U);
}

TEST(Descriptor, GarbageHasNoDisks) {
  for (const std::string_view text : {"", "<", "<Disk", "<Disk ovf:fileRef=", "<!-- <Disk/> -->"}) {
    EXPECT_TRUE(ova::stored_disks(ova::parse_descriptor(text)).empty()) << text;
  }
}

TEST(Manifest, LinesOfTheThreeDigests) {
  const auto digests = ova::parse_manifest(
      "SHA1(a.ovf)= 0123456789ABCDEF0123456789abcdef01234567\n"
      "SHA256 (disk (1).vmdk) = " +
      std::string(64, 'a') +
      "\r\n"
      "MD5(x)= 0123456789abcdef0123456789abcdef\nnothing\nSHA256(short)= abc\n");
  ASSERT_GE(digests.size(), 2U);
  EXPECT_EQ(digests[0].file, "a.ovf");
  EXPECT_EQ(digests[0].hex, "0123456789abcdef0123456789abcdef01234567");
  EXPECT_EQ(digests[1].file, "disk (1).vmdk");
}

class Choice : public testing::Test {
 protected:
  Choice() : list_("a.zip") {
    list_.add("README.txt", 10);
    list_.add("img/disk.img", 1000);
    list_.add("img/disk.img.sha256", 90);
  }
  archives::MemberList list_;
};

TEST_F(Choice, TheOnlyImageIsTaken) {
  EXPECT_EQ(choose_member(list_, ""), 1U);
  EXPECT_EQ(choose_member(list_, "disk.img"), 1U);
  EXPECT_EQ(choose_member(list_, "img/disk.img"), 1U);
  EXPECT_EQ(choose_member(list_, "README.txt"), 0U);
}

TEST_F(Choice, TheUserDecidesBetweenSeveral) {
  list_.add("other/disk.img", 2000);
  const auto refused = [&](const std::string& wanted) {
    try {
      (void)choose_member(list_, wanted);
      ADD_FAILURE() << "was taken: " << wanted;
    } catch (const io::Error& error) {
      EXPECT_EQ(error.kind(), io::ErrorKind::refused);
    }
  };
  refused("");
  refused("disk.img");
  refused("none");
  EXPECT_EQ(choose_member(list_, "other/disk.img"), 3U);
}

}  // namespace
}  // namespace formats
