#include "imgtool/command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "imgtool/cli/spelling.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

TEST(Commands, AreFoundByTheirName) {
  for (const Command& command : commands()) {
    EXPECT_EQ(find_command(command.name).run, command.run);
    EXPECT_FALSE(command.summary.empty());
    EXPECT_LE(command.summary.size(), 54U) << command.name << ": does not fit `imgtool help`";
  }
  EXPECT_THROW(find_command("no-such-command"), UsageError);
  EXPECT_THROW(find_command(""), UsageError);
}

TEST(NearestWord, ForgivesSlipsOnly) {
  const std::vector<std::string> words = {"burn", "capture", "convert", "compare", "check"};
  EXPECT_EQ(nearest_word("bunr", words), "burn");
  EXPECT_EQ(nearest_word("capure", words), "capture");
  EXPECT_EQ(nearest_word("covnert", words), "convert");
  EXPECT_EQ(nearest_word("chekc", words), "check");
  EXPECT_EQ(nearest_word("delete", words), std::nullopt);
  EXPECT_EQ(nearest_word(std::string(100000, 'x'), words), std::nullopt);
}

}  // namespace
}  // namespace imgtool
