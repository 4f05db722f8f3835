#include "formats/images/qcow2/entries.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace formats::qcow2 {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr L2Rules plain_rules{{16, false}, true, false};
constexpr L2Rules subcluster_rules{{16, true}, true, false};

TEST(CompressedStream, SplitsTheWordByTheClusterSize) {
  struct Case {
    std::uint32_t cluster_bits;
    std::uint32_t offset_bits;
  };
  for (const Case c : {Case{9, 61}, Case{12, 58}, Case{16, 54}, Case{21, 49}}) {
    const Geometry geometry{c.cluster_bits, false};
    const std::uint64_t last_sector = std::uint64_t{1} << c.offset_bits;
    const CompressedStream one = compressed_stream(compressed_flag | 1000, geometry);
    EXPECT_EQ(one.offset.value, 1000U);
    EXPECT_EQ(one.bytes, 512U - 488U) << "the rest of the sector that it starts in";
    const CompressedStream two = compressed_stream(compressed_flag | last_sector | 1024, geometry);
    EXPECT_EQ(two.offset.value, 1024U);
    EXPECT_EQ(two.bytes, 1024U);
  }
}

TEST(CompressedStream, IsNeverMuchLongerThanItsCluster) {
  for (std::uint32_t bits = 9; bits <= 21; ++bits) {
    const CompressedStream longest = compressed_stream(~std::uint64_t{0}, Geometry{bits, false});
    EXPECT_LE(longest.bytes, 2U << bits);
  }
}

TEST(L1Fault, FindsWhatMakesNoSense) {
  const Geometry geometry{16, false};
  constexpr std::uint64_t file_size = 0x30000;
  EXPECT_THAT(l1_fault(copied_flag | 0x20000, geometry, file_size), IsEmpty());
  EXPECT_THAT(l1_fault(0x20000, geometry, file_size), IsEmpty());
  EXPECT_THAT(l1_fault(0x20200, geometry, file_size), HasSubstr("not that of a cluster"));
  EXPECT_THAT(l1_fault(0x20001, geometry, file_size), HasSubstr("reserved"));
  EXPECT_THAT(l1_fault(0x30000, geometry, file_size), HasSubstr("past the end"));
  EXPECT_THAT(l1_fault(0x20000, geometry, file_size - 1), HasSubstr("past the end"));
}

TEST(L2Fault, AllowsWhatQemuWrites) {
  for (const std::uint64_t word :
       {std::uint64_t{0}, zero_flag, copied_flag | 0x50000, copied_flag | 0x50000 | zero_flag,
        std::uint64_t{0x50000}, compressed_flag | 0x50123}) {
    EXPECT_THAT(l2_fault({word, 0}, plain_rules), IsEmpty()) << std::hex << word;
  }
  EXPECT_THAT(l2_fault({0x50000, 0xfffffffe00000001}, subcluster_rules), IsEmpty());
  EXPECT_THAT(l2_fault({0, 0xffffffff00000000}, subcluster_rules), IsEmpty());
}

TEST(L2Fault, DependsOnTheHeader) {
  L2Rules version_2 = plain_rules;
  version_2.zero_flag_allowed = false;
  EXPECT_THAT(l2_fault({zero_flag, 0}, version_2), HasSubstr("version 2"));
  EXPECT_THAT(l2_fault({zero_flag, 0}, subcluster_rules), HasSubstr("zero flag"));
  EXPECT_THAT(l2_fault({0, 1}, subcluster_rules), HasSubstr("the cluster is not"));
  EXPECT_THAT(l2_fault({0x50000, 0x100000001}, subcluster_rules), HasSubstr("both"));
  L2Rules external = plain_rules;
  external.external_data = true;
  EXPECT_THAT(l2_fault({compressed_flag, 0}, external), HasSubstr("external file"));
  external.geometry.extended_l2 = true;
  EXPECT_THAT(l2_fault({copied_flag, 1}, external), IsEmpty()) << "cluster 0 is a place there";
}

}  // namespace
}  // namespace formats::qcow2
