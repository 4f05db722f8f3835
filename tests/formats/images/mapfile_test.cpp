#include "formats/images/mapfile.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/error.hpp"

namespace formats {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Entry = io::RangeMap<BlockStatus>::Entry;
using Entries = std::vector<Entry>;

Mapfile parse(std::string_view text) { return parse_mapfile(text, "rescue.map"); }

Entries blocks_of(const Mapfile& mapfile) { return {mapfile.blocks.begin(), mapfile.blocks.end()}; }

// The message of the error that `text` gives; empty if it is accepted.
std::string rejection(std::string_view text) {
  try {
    (void)parse(text);
    return {};
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::format);
    return error.what();
  }
}

Mapfile load(const std::string& path) {
  auto mapfile = load_mapfile(path);
  if (!mapfile) throw std::runtime_error("there is no " + path);
  return *std::move(mapfile);
}

std::string read_file(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// What ddrescue 1.27 wrote after reading a loop device whose backing file had lost its end.
constexpr std::string_view written_by_ddrescue =
    "# Mapfile. Created by GNU ddrescue version 1.27\n"
    "# Command line: ddrescue -q -d -r1 /dev/loop2 out map\n"
    "# Start time:   2026-11-22 17:44:47\n"
    "# Current time: 2026-11-22 17:44:47\n"
    "# Finished\n"
    "# current_pos  current_status  current_pass\n"
    "0x000FFE00     +               1\n"
    "#      pos        size  status\n"
    "0x00000000  0x00093000  +\n"
    "0x00093000  0x0006D000  -\n";

TEST(Mapfile, ReadsAndRewritesDdrescuesByteForByte) {
  const Mapfile mapfile = parse(written_by_ddrescue);
  EXPECT_EQ(mapfile.position, 0xFFE00U);
  EXPECT_EQ(mapfile.phase, RescuePhase::finished);
  EXPECT_EQ(mapfile.pass, 1);
  ASSERT_EQ(mapfile.comments.size(), 5U);
  EXPECT_EQ(mapfile.comments[2], "Start time:   2026-11-22 17:44:47");
  EXPECT_EQ(blocks_of(mapfile), (Entries{{{0, 0x93000}, BlockStatus::finished},
                                         {{0x93000, 0x6D000}, BlockStatus::bad_sector}}));
  EXPECT_EQ(mapfile_text(mapfile), written_by_ddrescue);
}

TEST(Mapfile, EmptyDiskIsOneEmptyBlock) {
  const std::string text = mapfile_text(Mapfile{});
  EXPECT_THAT(text, HasSubstr("\n0x00000000  0x00000000  ?\n"));
  EXPECT_EQ(parse(text), Mapfile{});
  EXPECT_EQ(parse("0 ? 1\n"), Mapfile{});
}

TEST(Mapfile, ReadsEveryNotationOfNumbersAndLetters) {
  const Mapfile mapfile = parse("0X1f *\n0 010 ?\n8 0x8 *\n16 1 /\n0x11 01 -\n0x12 1 +\n");
  EXPECT_EQ(mapfile.position, 0x1FU);
  EXPECT_EQ(mapfile.phase, RescuePhase::trimming);
  EXPECT_EQ(mapfile.pass, 1);  // maps of old versions and of partclone name none
  EXPECT_EQ(blocks_of(mapfile), (Entries{{{0, 8}, BlockStatus::non_tried},
                                         {{8, 8}, BlockStatus::non_trimmed},
                                         {{16, 1}, BlockStatus::non_scraped},
                                         {{17, 1}, BlockStatus::bad_sector},
                                         {{18, 1}, BlockStatus::finished}}));
}

TEST(Mapfile, ReadsCarriageReturnsBlankLinesAndCommentsAnywhere) {
  const Mapfile mapfile = parse(
      "# made by hand\r\n\r\n  # and edited\n#\n\t0 F 2 # here\r\n0 5 + # there\r\n# now\n5 1 -");
  EXPECT_EQ(mapfile.comments, (std::vector<std::string>{"made by hand", "and edited", ""}));
  EXPECT_EQ(mapfile.phase, RescuePhase::filling);
  EXPECT_EQ(mapfile.pass, 2);
  EXPECT_EQ(blocks_of(mapfile),
            (Entries{{{0, 5}, BlockStatus::finished}, {{5, 1}, BlockStatus::bad_sector}}));
}

TEST(Mapfile, WhatLiesBeforeTheFirstBlockIsNotTried) {
  EXPECT_EQ(blocks_of(parse("0 + 1\n100 5 +\n")),
            (Entries{{{0, 100}, BlockStatus::non_tried}, {{100, 5}, BlockStatus::finished}}));
}

TEST(Mapfile, EqualNeighboursBecomeOneBlock) {
  EXPECT_EQ(blocks_of(parse("0 + 1\n0 5 +\n5 5 +\n")), (Entries{{{0, 10}, BlockStatus::finished}}));
}

TEST(Mapfile, ReachesTheLargestOffsetAndNoFurther) {
  const auto mapfile = parse("0 + 1\n0 1 +\n1 0x7FFFFFFFFFFFFFFE ?\n");
  EXPECT_EQ(mapfile.blocks.size(), max_mapfile_offset);
  EXPECT_EQ(parse(mapfile_text(mapfile)), mapfile);
  EXPECT_THAT(rejection("0 + 1\n0 1 +\n1 0x7FFFFFFFFFFFFFFF ?\n"), HasSubstr("2^63 - 1"));
  EXPECT_THAT(rejection("0 + 1\n0x7FFFFFFFFFFFFFFF 1 +\n"), HasSubstr("2^63 - 1"));
  EXPECT_NE(rejection("0 + 1\n0 0x8000000000000000 +\n"), "");
  EXPECT_NE(rejection("0x10000000000000000 + 1\n"), "");
}

TEST(Mapfile, ErrorsNameFileOffsetLineAndRemedy) {
  EXPECT_EQ(rejection("# x\n0 ? 1\n0 10 +\n9 10 +\n"),
            "rescue.map: at offset 17: line 4: the block must start at 0x0000000A, where the one "
            "before it ends");
}

TEST(Mapfile, RejectsWhatIsNoMapfile) {
  for (const std::string_view text : {
           "",
           "# only comments\n",
           "\n\n",  // no status line
           "0 ?  1 junk\n",
           "0 x 1\n",
           "0 ?? 1\n",
           "? 0 1\n",
           "0\n",  // status line
           "0 ? 0\n",
           "0 ? -1\n",
           "0 ? 0x1\n",
           "0 ? 99999999999\n",  // pass
           "-1 ? 1\n",
           "+1 ? 1\n",
           "08 ? 1\n",
           "0x ? 1\n",
           "1k ? 1\n",
           "0 ? 1\n0 10\n",
           "0 ? 1\n0 10 + +\n",
           "0 ? 1\n0 10 F\n",
           "0 ? 1\n0 -10 +\n",
           "0 ? 1\n0 10 +\n11 1 +\n",  // gap
           "0 ? 1\n0 10 +\n9 5 +\n",   // overlap
           "0 ? 1\n10 5 +\n0 10 +\n",  // wrong order
           "0 ? 1\n0 10 +\n10 0 ?\n",  // empty block
           "0 ? 1\n0 10#5 +\n",        // no blank before the comment
       }) {
    EXPECT_NE(rejection(text), "") << text;
  }
  EXPECT_NE(rejection(std::string_view("0 ? 1\n0 1\0 +\n", 13)), "");
}

TEST(Mapfile, CommentStaysAComment) {
  Mapfile mapfile;
  mapfile.comments = {"image: evil\n0 + 1\n0 1 +\r\x1B[2J", "  indented", "#"};
  const Mapfile read = parse(mapfile_text(mapfile));
  EXPECT_EQ(read.comments,
            (std::vector<std::string>{"image: evil?0 + 1?0 1 +??[2J", "  indented", "#"}));
  EXPECT_EQ(read.blocks, mapfile.blocks);
}

TEST(Mapfile, RandomMapsSurviveTheText) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    Mapfile mapfile;
    mapfile.position = random() % max_mapfile_offset;
    mapfile.phase = RescuePhase("?*/-FG+"[random() % 7]);
    mapfile.pass = 1 + static_cast<int>(random() % 9);
    for (auto count = random() % 30; count > 0; --count) {
      mapfile.blocks.append(random() % (1ULL << (random() % 50)),
                            BlockStatus("?*/-+"[random() % 5]));
    }
    ASSERT_EQ(parse(mapfile_text(mapfile)), mapfile);
  }
}

class MapfileOnDisk : public testing::Test {
 protected:
  MapfileOnDisk() {
    std::string name = (fs::temp_directory_path() / "mapfile_test.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~MapfileOnDisk() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(std::string_view name) const { return (folder_ / name).string(); }
  void write(std::string_view name, std::string_view text) const {
    std::ofstream(folder_ / name) << text;
  }
  // Runs a shell command in the folder; gives its exit code.
  [[nodiscard]] int shell(const std::string& command) const {
    const auto line = fmt::format("cd {} && {{ {}; }} >>log 2>&1", folder_.string(), command);
    const int status = std::system(line.c_str());  // NOLINT(*-system,cert-*): fixed text
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  fs::path folder_;
};

TEST_F(MapfileOnDisk, SavesAndLoads) {
  const Mapfile mapfile = parse(written_by_ddrescue);
  EXPECT_FALSE(load_mapfile(path("map")).has_value());
  save_mapfile(mapfile, path("map"));
  EXPECT_EQ(read_file(path("map")), written_by_ddrescue);
  EXPECT_EQ(load_mapfile(path("map")), mapfile);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(MapfileOnDisk, ReplacesThroughALinkAndOverLeftOvers) {
  write("real", "old");
  fs::create_symlink("real", folder_ / "map");
  write("real.imgtool-partial", "left over by a run that was killed, and longer than the new text");
  save_mapfile(Mapfile{}, path("map"));
  EXPECT_TRUE(fs::is_symlink(path("map")));
  EXPECT_EQ(load_mapfile(path("real")), Mapfile{});
}

TEST_F(MapfileOnDisk, FailureLeavesTheOldOne) {
  write("map", written_by_ddrescue);
  fs::create_directory(folder_ / "map.imgtool-partial");
  EXPECT_THROW(save_mapfile(Mapfile{}, path("map")), io::Error);
  EXPECT_EQ(read_file(path("map")), written_by_ddrescue);
}

TEST_F(MapfileOnDisk, RefusesWhatIsNoFileAndWhatIsTooLong) {
  EXPECT_THROW(save_mapfile(Mapfile{}, folder_.string()), io::Error);
  mkfifo(path("fifo").c_str(), 0600);
  EXPECT_THROW(save_mapfile(Mapfile{}, path("fifo")), io::Error);
  EXPECT_TRUE(fs::is_fifo(path("fifo")));
  write("long", "");
  fs::resize_file(path("long"), 64 * io::MiB + 1);
  EXPECT_THROW((void)load_mapfile(path("long")), io::Error);
}

TEST_F(MapfileOnDisk, DdrescuelogReadsWhatWeWrite) {
  if (shell("ddrescuelog --version") != 0) GTEST_SKIP() << "needs ddrescuelog (package gddrescue)";
  Mapfile mapfile;
  mapfile.comments = {"imgtool burn", "source: image.raw"};
  mapfile.blocks = io::RangeMap(10 * io::MiB, BlockStatus::non_tried);
  mapfile.blocks.set({0, 6 * io::MiB}, BlockStatus::finished);
  mapfile.blocks.set({1 * io::MiB, 4096}, BlockStatus::bad_sector);
  save_mapfile(mapfile, path("map"));
  EXPECT_EQ(shell("ddrescuelog -t map"), 0) << read_file(path("log"));
  EXPECT_EQ(shell("ddrescuelog --show-status map"), 0) << read_file(path("log"));
  EXPECT_THAT(read_file(path("log")), HasSubstr("4096 B,  in      1 area(s)"));
  EXPECT_EQ(shell("ddrescuelog --done-status map"), 1);

  mapfile.blocks = io::RangeMap(10 * io::MiB, BlockStatus::finished);
  save_mapfile(mapfile, path("map"));
  EXPECT_EQ(shell("ddrescuelog --done-status map"), 0);
}

// -H simulates bad sectors, so no device and no root is needed.
TEST_F(MapfileOnDisk, GoesBackAndForthWithDdrescue) {
  if (shell("ddrescue --version") != 0) GTEST_SKIP() << "needs ddrescue (package gddrescue)";
  fs::resize_file((write("disk", ""), path("disk")), 1 * io::MiB);
  write("faults", "0 ? 1\n0 0x40000 +\n0x40000 0x3200 -\n0x43200 0xBCE00 +\n");
  ASSERT_EQ(shell("ddrescue -n -H faults disk copy map"), 0) << read_file(path("log"));
  const Mapfile first = load(path("map"));
  EXPECT_EQ(mapfile_text(first), read_file(path("map")));
  EXPECT_EQ(first.blocks.total(BlockStatus::finished), 1 * io::MiB - 0x3200);
  EXPECT_GT(first.blocks.total(BlockStatus::non_scraped), 0U);

  save_mapfile(first, path("map"));
  ASSERT_EQ(shell("ddrescue -H faults disk copy map"), 0) << read_file(path("log"));
  const Mapfile second = load(path("map"));
  EXPECT_EQ(second.blocks.at(0x40000), (Entry{{0x40000, 0x3200}, BlockStatus::bad_sector}));
}

TEST_F(MapfileOnDisk, ReadsTheMapOfARealDiskWithReadErrors) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root for a loop device";
  if (shell("ddrescue --version") != 0) GTEST_SKIP() << "needs ddrescue (package gddrescue)";
  // The loop device keeps its size when its file loses its end: reads there fail.
  ASSERT_EQ(shell("truncate -s 1M disk && losetup -f --show --direct-io=on disk >device && "
                  "truncate -s 588K disk"),
            0)
      << read_file(path("log"));
  EXPECT_EQ(shell("ddrescue -q -d -r1 $(cat device) copy map"), 0) << read_file(path("log"));
  EXPECT_EQ(shell("losetup -d $(cat device)"), 0) << read_file(path("log"));
  const Mapfile mapfile = load(path("map"));
  EXPECT_EQ(mapfile_text(mapfile), read_file(path("map")));
  EXPECT_EQ(blocks_of(mapfile), (Entries{{{0, 0x93000}, BlockStatus::finished},
                                         {{0x93000, 0x6D000}, BlockStatus::bad_sector}}));
}

}  // namespace
}  // namespace formats
