#include "formats/disks/lvm/lvm.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/lvm/config.hpp"

namespace formats::filesystems {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

TEST(LvmConfig, ReadsSectionsNumbersTextsAndLists) {
  const auto top = lvm::parse_config(
      "# a comment\n"
      "contents = \"Text \\\"Format\\\"\"\n"
      "vg { seqno = 7\tstatus = [\"READ\", \"WRITE\"] flags = []\n"
      "  pv { size = 12 # in sectors\n } }\n");
  EXPECT_EQ(top.text("contents"), "Text \"Format\"");
  const auto& vg = top.section("vg");
  EXPECT_EQ(vg.number("seqno"), 7U);
  EXPECT_THAT(vg.list("status"), ElementsAre(lvm::Scalar("READ"), lvm::Scalar("WRITE")));
  EXPECT_TRUE(vg.list("flags").empty());
  EXPECT_EQ(vg.section("pv").number("size"), 12U);
  EXPECT_THROW((void)vg.number("status"), Doubt);
  EXPECT_THROW((void)vg.number("missing"), Doubt);
}

TEST(LvmConfig, DoubtsWhatIsNoSuchText) {
  for (const char* text : {"vg {", "vg { a = }", "a", "a = \"open", "a = 1 a = 2", "}", "a = [1, 2",
                           "= 3", "a { } b }"}) {
    EXPECT_THROW((void)lvm::parse_config(text), Doubt) << text;
  }
  EXPECT_THROW((void)lvm::parse_config(std::string(100'000, 'a') + "{"), Doubt);
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "a{";
  EXPECT_THROW((void)lvm::parse_config(deep), Doubt);
}

TEST(LvmConfig, TakesValuesApartWhenTheyAreAskedFor) {
  const std::string text = "a { list = [ \"x\\\"]\", 7 ] # a comment\n one = \"\" }";
  const auto top = lvm::parse_config(text);
  const auto& section = top.section("a");
  EXPECT_THAT(section.list("list"), ElementsAre(lvm::Scalar("x\"]"), lvm::Scalar(7)));
  EXPECT_EQ(section.text("one"), "");
  EXPECT_THAT(section.list("one"), ElementsAre(lvm::Scalar("")));
}

TEST(LvmConfig, HasBoundsForNamesAndLists) {
  std::string names;
  for (std::size_t i = 0; i < lvm::most_names + 1; ++i) names += "n" + std::to_string(i) + "{}";
  EXPECT_THROW((void)lvm::parse_config(names), Doubt);
  std::string list = "a=[";
  for (std::size_t i = 0; i < lvm::longest_list + 1; ++i) list += "1,";
  const auto top = lvm::parse_config(list += "1]");
  EXPECT_THROW((void)top.list("a"), Doubt);
}

// A volume of 4 stripes' rounds in 2 stripes, behind a linear part.
LogicalVolume striped() {
  LogicalVolume volume;
  volume.size = 1000 + 800;
  volume.segments.push_back({{0, 1000}, {5000}, 1000});
  volume.segments.push_back({{1000, 800}, {20'000, 30'000}, 100});
  return volume;
}

TEST(LvmVolume, PiecesFollowTheStripesInTurn) {
  std::vector<std::uint64_t> places;
  std::uint64_t next = 950;
  for (const VolumePiece& piece : pieces_of(striped(), {950, 300})) {
    EXPECT_EQ(piece.volume_offset, next);
    next += piece.range.length;
    places.push_back(piece.range.offset);
  }
  EXPECT_EQ(next, 1250U);
  EXPECT_THAT(places, ElementsAre(5950U, 20'000U, 30'000U, 20'100U));
}

TEST(LvmVolume, WholeRoundsAreOneRangeOfEachStripe) {
  EXPECT_THAT(places_of(striped(), {1000, 800}),
              UnorderedElementsAre(io::ByteRange{20'000, 400}, io::ByteRange{30'000, 400}));
  EXPECT_THAT(places_of(striped(), {1150, 500}),
              UnorderedElementsAre(io::ByteRange{30'050, 50}, io::ByteRange{20'100, 200},
                                   io::ByteRange{30'100, 200}, io::ByteRange{20'300, 50}));
}

}  // namespace
}  // namespace formats::filesystems
