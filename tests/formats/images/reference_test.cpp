#include "formats/images/reference.hpp"

#include <gtest/gtest.h>

namespace formats {
namespace {

TEST(ReferencePath, StartsAtTheImagesDirectory) {
  EXPECT_EQ(reference_path("/images/top.qcow2", "base.img"), "/images/base.img");
  EXPECT_EQ(reference_path("top.qcow2", "base.img"), "base.img");
  EXPECT_EQ(reference_path("./a/top.qcow2", "../base.img"), "./a/../base.img");
  EXPECT_EQ(reference_path("/images/top.qcow2", "/base.img"), "/base.img");
}

TEST(ReferencePath, LeavesProtocolsAlone) {
  EXPECT_EQ(reference_path("/images/top.qcow2", "nbd://host/disk"), "nbd://host/disk");
  EXPECT_EQ(reference_path("/images/top.qcow2", "json:{}"), "json:{}");
  EXPECT_EQ(reference_path("/images/top.qcow2", "a/b:c"), "/images/a/b:c");
}

}  // namespace
}  // namespace formats
