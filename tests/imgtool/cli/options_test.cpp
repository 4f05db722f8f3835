#include "imgtool/cli/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A command with one option of every form.
struct Sample {
  std::string image;
  std::vector<std::string> targets;
  bool yes = false;
  std::string serial;
  std::optional<std::string> format;
  std::uint64_t chunk = 1024 * 1024;
  std::vector<std::string> settings;
  JobOptions job;
  CommandLine line{"burn", "Writes IMAGE to each TARGET."};

  Sample() {
    line.argument("IMAGE", image, "image to write");
    line.arguments("TARGET", targets, "disk or file");
    line.option("yes", flag_into(yes), "do not ask");
    line.option("expect-serial", text_into(serial, "SERIAL"), "refuse any other disk");
    line.option(",O", text_into(format, "FORMAT"), "format of the output");
    line.option("chunk", size_into(chunk), "bytes handled at once");
    line.option("set,o", texts_into(settings, "KEY=VALUE"), "a setting");
    line.job_options(job);
    line.example("imgtool burn a.img /dev/sdb", "burn one disk");
    line.exit_code(exit_code::refused, "a target is in use");
  }

  std::string error(const Arguments& arguments) {
    try {
      EXPECT_EQ(line.parse(arguments), std::nullopt);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "(no error)";
  }
};

constexpr const char* see = " (see imgtool burn --help)";

TEST(CommandLine, FillsTheVariables) {
  Sample sample;
  EXPECT_EQ(sample.line.parse({"a.img", "--yes", "/dev/sdb", "-Oqcow2", "--chunk=2M", "-o", "a=1",
                               "-v", "-o", "b=2", "--json", "/dev/sdc", "--progress", "json",
                               "--progress-fd=2", "--io-engine", "threads"}),
            std::nullopt);
  EXPECT_EQ(sample.image, "a.img");
  EXPECT_THAT(sample.targets, ElementsAre("/dev/sdb", "/dev/sdc"));
  EXPECT_TRUE(sample.yes);
  EXPECT_EQ(sample.format, "qcow2");
  EXPECT_EQ(sample.chunk, 2U * 1024 * 1024);
  EXPECT_THAT(sample.settings, ElementsAre("a=1", "b=2"));
  EXPECT_TRUE(sample.line.common().json);
  EXPECT_TRUE(sample.line.common().verbose);
  EXPECT_EQ(sample.job.progress, ProgressMode::json);
  EXPECT_EQ(sample.job.progress_fd, 2U);
  EXPECT_EQ(sample.job.io_engine, IoEngine::threads);
}

TEST(CommandLine, LeavesDefaultsAlone) {
  Sample sample;
  EXPECT_EQ(sample.line.parse({"a", "b"}), std::nullopt);
  EXPECT_EQ(sample.chunk, 1024U * 1024);
  EXPECT_EQ(sample.format, std::nullopt);
  EXPECT_FALSE(sample.line.common().json);
}

TEST(CommandLine, TakesDashAndDashDigitsAndWhatFollowsDashDashAsArguments) {
  Sample sample;
  EXPECT_EQ(sample.line.parse({"-", "-5G", "--", "--yes", "-v", ""}), std::nullopt);
  EXPECT_EQ(sample.image, "-");
  EXPECT_THAT(sample.targets, ElementsAre("-5G", "--yes", "-v", ""));
  EXPECT_FALSE(sample.yes);
}

TEST(CommandLine, NamesTheWordAtFault) {
  struct Row {
    Arguments arguments;
    std::string message;
  };
  const std::vector<Row> rows = {
      {{"a", "b", "--yess"}, "unknown option '--yess'; did you mean '--yes'?"},
      {{"a", "b", "--ye"}, "unknown option '--ye'; did you mean '--yes'?"},
      {{"a", "b", "--frobnicate=3"}, "unknown option '--frobnicate=3'"},
      {{"a", "b", "-x"}, "unknown option '-x'"},
      {{"a", "b", "--=3"}, "unknown option '--=3'"},
      {{"a", "b", "--chunk"}, "--chunk: its value is missing"},
      {{"a", "b", "--chunk="}, "--chunk: its value is missing"},
      {{"a", "b", "-O"}, "-O: its value is missing"},
      {{"a", "b", "--expect-serial", "--yes"},
       "--expect-serial: its value is missing before '--yes'"},
      {{"a", "b", "--yes=1"}, "--yes: takes no value"},
      {{"a", "b", "--chunk", "1M", "--chunk=1M"}, "--chunk: given twice"},
      {{"a", "b", "--chunk", "-5"},
       "--chunk: '-5' is not a size: write a number with K, M, G, T, P, E (powers of 1024) or kB, "
       "MB, "
       "GB, TB, PB, EB"},
      {{"a", "b", "--progress", "loud"},
       "--progress: 'loud' is none of auto, bar, plain, json, none"},
      {{"a", "b", "--progress-fd", "x"}, "--progress-fd: 'x' is not a number from 0 to 2147483647"},
      {{"a", "b", "--progress-fd", "999"}, "--progress-fd: descriptor 999 is not open for writing"},
      {{}, "the argument IMAGE is missing"},
      {{"a"}, "the argument TARGET is missing"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(Sample().error(row.arguments), "burn: " + row.message + see);
  }
}

TEST(CommandLine, RefusesSurplusArguments) {
  std::string one;
  std::optional<std::string> two;
  CommandLine line("hash", "Digest of IMAGE.");
  line.argument("IMAGE", one, "image");
  line.argument("OTHER", two, "another");
  EXPECT_EQ(line.parse({"a"}), std::nullopt);
  EXPECT_EQ(two, std::nullopt);
  EXPECT_EQ(line.parse({"a", "b"}), std::nullopt);
  EXPECT_EQ(two, "b");
  EXPECT_THROW((void)line.parse({"a", "b", "c"}), UsageError);
}

TEST(CommandLine, HelpTellsOptionsDefaultsExamplesAndExitCodes) {
  const std::string help = Sample().line.help();
  for (const char* part :
       {"Usage: imgtool burn [OPTIONS] IMAGE TARGET...\n", "  --chunk SIZE", "(default: 1.0 MiB)\n",
        "  -O FORMAT ", "  -o, --set KEY=VALUE", "--progress auto|bar|plain|json|none",
        "Common options:\n", "Examples:\n  imgtool burn a.img /dev/sdb\n      burn one disk\n",
        "  0                       done\n", "  3                       a target is in use\n"}) {
    EXPECT_THAT(help, HasSubstr(part));
  }
  std::size_t longest = 0;
  for (std::size_t begin = 0; begin < help.size(); begin = help.find('\n', begin) + 1) {
    longest = std::max(longest, help.find('\n', begin) - begin);
  }
  EXPECT_LE(longest, 80U);
}

}  // namespace
}  // namespace imgtool
