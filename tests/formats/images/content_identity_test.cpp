#include "formats/images/content_identity.hpp"

#include <gtest/gtest.h>

namespace formats {
namespace {

ContentIdentity identity_of(std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> pieces) {
  ContentIdentity identity;
  for (const auto& [index, digest] : pieces) identity.add(index, digest);
  return identity;
}

TEST(ContentIdentity, DoesNotDependOnTheOrder) {
  EXPECT_EQ(identity_of({{0, 5}, {7, 9}}).uuid(100, 0), identity_of({{7, 9}, {0, 5}}).uuid(100, 0));
}

TEST(ContentIdentity, DependsOnContentPlaceSizeAndNumber) {
  const Uuid one = identity_of({{0, 5}, {7, 9}}).uuid(100, 0);
  EXPECT_NE(identity_of({{0, 5}, {7, 8}}).uuid(100, 0), one);
  EXPECT_NE(identity_of({{0, 5}, {6, 9}}).uuid(100, 0), one);
  EXPECT_NE(identity_of({{0, 9}, {7, 5}}).uuid(100, 0), one);
  EXPECT_NE(identity_of({{5, 0}, {7, 9}}).uuid(100, 0), one);
  EXPECT_NE(identity_of({{0, 5}, {7, 9}}).uuid(101, 0), one);
  EXPECT_NE(identity_of({{0, 5}, {7, 9}}).uuid(100, 1), one);
}

TEST(ContentIdentity, IsAUuidOfItsOwnMethod) {
  const Uuid uuid = ContentIdentity().uuid(0, 0);
  EXPECT_EQ(uuid[6] & std::byte{0xf0}, std::byte{0x80});
  EXPECT_EQ(uuid[8] & std::byte{0xc0}, std::byte{0x80});
}

}  // namespace
}  // namespace formats
