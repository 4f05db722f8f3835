// The descriptor of a VMware disk: known fields in any case, and nothing from what is no field.
#include "formats/images/vmdk/descriptor.hpp"

#include <limits>

#include <gtest/gtest.h>

namespace formats::vmdk {
namespace {

TEST(VmdkDescriptor, HasTheFieldsOfItsLines) {
  const Descriptor found = parse_descriptor(
      "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=0badcafe\n"
      "createType=\"monolithicSparse\"\nparentFileNameHint=\"below.vmdk\"\n\n"
      "RW 100 SPARSE \"a.vmdk\"\nRDONLY 28 FLAT \"b.vmdk\" 0\nNOACCESS 5 ZERO\n"
      "ddb.adapterType = \"ide\"\n");
  EXPECT_EQ(found.content_id, 0xfffffffe);
  EXPECT_EQ(found.parent_id, 0x0badcafeU);
  EXPECT_EQ(found.create_type, "monolithicSparse");
  EXPECT_EQ(found.parent, "below.vmdk");
  EXPECT_EQ(found.extents.size(), 3U);
  EXPECT_EQ(found.sectors, 133U);
}

TEST(VmdkDescriptor, TakesAnyCaseBlanksAndLineEnds) {
  const Descriptor found =
      parse_descriptor("CREATETYPE = \"x\"\r\n\tparentcid =FFFFFFFF\r\n  rw\t7 sparse \"a\"\r\n");
  EXPECT_EQ(found.create_type, "x");
  EXPECT_EQ(found.parent_id, no_parent);
  EXPECT_EQ(found.extents.size(), 1U);
  EXPECT_EQ(found.sectors, 7U);
}

TEST(VmdkDescriptor, EndsAtANul) {
  using namespace std::string_view_literals;
  const Descriptor found = parse_descriptor("RW 7 SPARSE\n\0RW 9 SPARSE\n"sv);
  EXPECT_EQ(found.extents.size(), 1U);
}

TEST(VmdkDescriptor, AParentThatCannotBeReadIsOne) {
  EXPECT_NE(parse_descriptor("parentCID=none\n").parent_id, no_parent);
  EXPECT_NE(parse_descriptor("parentCID=1ffffffff\n").parent_id, no_parent);
  EXPECT_EQ(parse_descriptor("").parent_id, no_parent);
}

TEST(VmdkDescriptor, SizesDoNotWrapRound) {
  EXPECT_EQ(parse_descriptor("RW 18446744073709551615 FLAT\nRW 9 FLAT\n").sectors,
            std::numeric_limits<std::uint64_t>::max());
}

TEST(VmdkDescriptor, CommentsAndWordsAreNoFields) {
  const Descriptor found = parse_descriptor("#RW 7 SPARSE\n# CID=1\nRWX 7 SPARSE\nCIDX=1\n=\nRW");
  EXPECT_EQ(found.content_id, 0U);
  EXPECT_EQ(found.extents.size(), 1U);  // "RW" alone names a part that cannot be read
  EXPECT_EQ(found.sectors, 0U);
}

}  // namespace
}  // namespace formats::vmdk
