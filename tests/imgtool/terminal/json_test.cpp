#include "imgtool/terminal/json.hpp"

#include <gtest/gtest.h>

namespace imgtool {
namespace {

TEST(Json, PairsThatBeginWithATextAreAnObject) {
  const Json document = {{"image", "a.img"}, {"size", std::uint64_t{1} << 63}, {"ok", true}};
  EXPECT_EQ(document.text(-1), R"({"image":"a.img","size":9223372036854775808,"ok":true})");
}

TEST(Json, OtherPartsAreAnArray) {
  EXPECT_EQ(Json({1, "two", nullptr}).text(-1), R"([1,"two",null])");
  EXPECT_EQ(Json({{1, 2}, {3, 4}}).text(-1), "[[1,2],[3,4]]");
  EXPECT_EQ(Json(std::vector<std::string>{"a", "b"}).text(-1), R"(["a","b"])");
  EXPECT_EQ(Json({{"names", std::vector<std::string>{"a", "b"}}}).text(-1),
            R"({"names":["a","b"]})");
}

TEST(Json, NullBecomesWhatIsPutIntoIt) {
  Json document;
  document["b"] = 1;
  document["a"].push_back("x");
  document["b"] = -2;
  document["empty"] = Json::array();
  EXPECT_EQ(document.text(-1), R"({"b":-2,"a":["x"],"empty":[]})");
  EXPECT_TRUE(document.contains("a"));
  EXPECT_FALSE(document.contains("c"));
  EXPECT_EQ(document.at("b").text(-1), "-2");
}

TEST(Json, AnUpdateReplacesAndAppends) {
  Json document = {{"a", 1}, {"b", 2}};
  document.update({{"b", 3}, {"c", 0.5}});
  EXPECT_EQ(document.text(-1), R"({"a":1,"b":3,"c":0.5})");
}

TEST(Json, TextIsAsciiWhateverTheNamesAre) {
  EXPECT_EQ(Json("\xc3\xa9\x1b\"\\\n\xff").text(-1), R"("\u00e9\u001b\"\\\n\ufffd")");
}

TEST(Json, AnIndentPutsEachMemberOnALine) {
  EXPECT_EQ(Json({{"a", 1}, {"b", Json::array()}}).text(4), "{\n    \"a\": 1,\n    \"b\": []\n}");
}

}  // namespace
}  // namespace imgtool
