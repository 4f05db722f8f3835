#include "imgtool/guest/content.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "io/byte_range.hpp"
#include "io/error.hpp"

namespace imgtool::guest {
namespace {

// Answers commands that hold a word, and keeps what it was told to do.
class ScriptedShell final : public Shell {
 public:
  std::map<std::string, CommandResult> answers;
  std::map<std::string, std::function<void()>> effects;  // of commands that hold a word
  std::vector<std::string> commands;

  CommandResult run(const std::string& command) override {
    commands.push_back(command);
    for (const auto& [word, effect] : effects) {
      if (command.find(word) != std::string::npos) effect();
    }
    for (const auto& [word, answer] : answers) {
      if (command.find(word) != std::string::npos) return answer;
    }
    return {};
  }
};

constexpr std::uint64_t block = 4096;

std::string dumpe2fs(std::uint64_t size, const std::string& features) {
  return "Filesystem features:      " + features +
         "\nInode count: 100\nBlock count:              " + std::to_string(size / block) +
         "\nFree blocks:              1000\n" + "Block size:               4096\n";
}

class ExtContent : public testing::Test {
 protected:
  ExtContent() {
    volume.name = "partition 2";
    volume.partition = 2;
    volume.device = "/dev/sda2";
    volume.type = "ext4";
    volume.size = volume.new_size = io::GiB;
    has_features("has_journal extent");
    has_minimum(100 * io::MiB);
  }

  void has_features(const std::string& features) {
    shell.answers["dumpe2fs"] = {0, dumpe2fs(io::GiB, features), ""};
  }
  void has_minimum(std::uint64_t size) {
    shell.answers["resize2fs -P"] = {
        0, "Estimated minimum size of the filesystem: " + std::to_string(size / block) + "\n", ""};
  }

  ScriptedShell shell;
  ShrinkOptions options;
  VolumePlan volume;
  ApplianceContext context{shell, options, [](const std::string&) {}};
};

TEST_F(ExtContent, LeavesSlackAboveTheMinimum) {
  measure(context, volume);
  EXPECT_EQ(volume.action, Action::shrink);
  EXPECT_EQ(volume.minimum, 100 * io::MiB);
  EXPECT_EQ(volume.new_size, 164 * io::MiB);
}

TEST_F(ExtContent, LeavesTheSlackThatWasAskedFor) {
  options.slack = 7 * io::MiB + 1;
  measure(context, volume);
  EXPECT_EQ(volume.new_size, 108 * io::MiB);
}

TEST_F(ExtContent, IsKeptWhereNothingIsSaved) {
  has_minimum(io::GiB - io::MiB);
  measure(context, volume);
  EXPECT_EQ(volume.action, Action::keep);
  EXPECT_EQ(volume.new_size, volume.size);
}

TEST_F(ExtContent, IsRefusedWhenDamaged) {
  shell.answers["e2fsck"] = {4, "e2fsck 1.47\n\nInode 12 is wrong\n", ""};
  EXPECT_THROW(measure(context, volume), io::Error);
}

TEST_F(ExtContent, WithFeaturesThatE2fsprogsDoesNotKnowIsLeftAlone) {
  has_features("has_journal needs_recovery FEATURE_C15 extent");
  measure(context, volume);
  EXPECT_EQ(volume.action, Action::keep);
  EXPECT_TRUE(volume.left_alone);
  EXPECT_NE(volume.kept_because.find("FEATURE_C15"), std::string::npos);
  EXPECT_EQ(shell.commands.size(), 1U);  // it is neither replayed nor checked
}

TEST_F(ExtContent, IsKeptWhenTheUserSaysSo) {
  options.keep = {2};
  shell.answers["e2fsck"] = {4, "", "damaged"};
  measure(context, volume);
  EXPECT_EQ(volume.action, Action::keep);
  EXPECT_TRUE(shell.commands.empty());
}

TEST_F(ExtContent, TriesAgainLargerWhenTheEstimateWasTooSmall) {
  measure(context, volume);
  shell.answers["resize2fs -f /dev/sda2 41984"] = {1, "", "No space left on device"};
  change(context, volume);
  EXPECT_EQ(volume.new_size, 168 * io::MiB);  // 2 % more than 164 MiB, in whole MiB
  EXPECT_EQ(volume.action, Action::shrink);
}

TEST_F(ExtContent, StopsWhenAFailedResizeLeftDamage) {
  measure(context, volume);
  shell.answers["resize2fs -f"] = {1, "", "No space left on device"};
  shell.answers["e2fsck"] = {4, "\n\nInode 12 is wrong\n", ""};
  EXPECT_THROW(change(context, volume), io::Error);
}

TEST_F(ExtContent, IsReplayedWhenItWasNotUnmounted) {
  has_features("has_journal needs_recovery extent");
  shell.effects["journal_only"] = [&] { has_features("has_journal extent"); };
  shell.answers["e2fsck -p"] = {1, "recovering journal", ""};
  measure(context, volume);
  EXPECT_EQ(volume.action, Action::shrink);
  EXPECT_TRUE(volume.replayed);
  EXPECT_EQ(volume.notes.size(), 1U);
}

TEST_F(ExtContent, IsRefusedWhenItsJournalCannotBeReplayed) {
  has_features("has_journal needs_recovery extent");
  EXPECT_THROW(measure(context, volume), io::Error);  // the flag is still there
  shell.effects["journal_only"] = [&] { has_features("has_journal extent"); };
  shell.answers["e2fsck -p -E journal_only"] = {8, "", "Journal superblock is corrupt"};
  has_features("has_journal needs_recovery extent");
  EXPECT_THROW(measure(context, volume), io::Error);
}

TEST_F(ExtContent, IsRefusedWhenItsJournalTellsOfErrors) {
  has_features("has_journal needs_recovery extent");
  shell.effects["journal_only"] = [&] {
    has_features("has_journal extent\nFilesystem state:         clean with errors");
  };
  EXPECT_THROW(measure(context, volume), io::Error);
  EXPECT_EQ(shell.commands.back().find("e2fsck"), std::string::npos);  // nothing is repaired
}

TEST_F(ExtContent, AReplayedOneIsCheckedAlthoughItKeepsItsSize) {
  volume.replayed = true;
  check(context, volume);
  ASSERT_EQ(shell.commands.size(), 1U);
  EXPECT_NE(shell.commands[0].find("e2fsck -fn"), std::string::npos);
}

class HibernatedSwap : public ExtContent {
 protected:
  HibernatedSwap() { volume.type = "swsuspend"; }
};

TEST_F(HibernatedSwap, IsRefused) {
  EXPECT_THROW(measure(context, volume), io::Error);
  EXPECT_TRUE(shell.commands.empty());
}

TEST_F(HibernatedSwap, IsDroppedWhenTheUserSaysSo) {
  options.drop_swap_content = true;
  shell.answers["-s TYPE"] = {0, "swap\n", ""};
  measure(context, volume);
  EXPECT_EQ(volume.type, "swap");
  EXPECT_EQ(volume.action, Action::header_only);
  EXPECT_NE(shell.commands.front().find("SWAPSPACE2"), std::string::npos);
}

TEST_F(HibernatedSwap, OfAnUnknownKindIsNotDropped) {
  options.drop_swap_content = true;
  shell.answers["-s TYPE"] = {0, "swsuspend\n", ""};
  EXPECT_THROW(measure(context, volume), io::Error);
}

class BtrfsContent : public ExtContent {
 protected:
  BtrfsContent() {
    volume.type = "btrfs";
    shell.answers["btrfs filesystem show"] = {0, "Total devices 2 FS bytes used 3\n", ""};
  }
};

TEST_F(BtrfsContent, OnSeveralDevicesKeepsItsSize) {
  measure(context, volume);
  EXPECT_EQ(volume.action, Action::keep);
  EXPECT_FALSE(volume.left_alone);
  EXPECT_NE(volume.remedy.find("btrfs device remove"), std::string::npos);
}

TEST_F(BtrfsContent, WhoseOtherDeviceIsMissingIsNotMounted) {
  shell.answers["btrfs filesystem show"].out += "*** Some devices missing\n";
  measure(context, volume);
  EXPECT_TRUE(volume.left_alone);
  EXPECT_EQ(shell.commands.size(), 1U);
}

// Partition 3 is kept, and reaches into the volume in partition 2.
class KeptPart : public BtrfsContent {
 protected:
  KeptPart() {
    kept.name = "partition 3";
    kept.partition = 3;
    kept.device = "/dev/sda3";
    context.kept = {&kept};
    context.needs_replay = [](const formats::VolumeId&) { return true; };
    shell.answers["lsblk"] = {0, "/dev/sda2\n/dev/sda\n/dev/dm-0\n/dev/sda3\n/dev/sda\n", ""};
  }

  void expect_left_alone() {
    measure(context, volume);
    EXPECT_EQ(volume.action, Action::keep);
    EXPECT_TRUE(volume.left_alone);
    EXPECT_TRUE(volume.inside.empty());
    EXPECT_NE(volume.kept_because.find("partition 3"), std::string::npos);
    for (const std::string& command : shell.commands) {
      EXPECT_EQ(command.find("mount"), std::string::npos);
      EXPECT_EQ(command.find("vgchange"), std::string::npos);
    }
  }

  VolumePlan kept;
};

TEST_F(KeptPart, OfABtrfsKeepsAllOfIt) {
  shell.answers["btrfs filesystem show"].out +=
      "\tdevid 1 size 9 used 8 path /dev/sda2\n\tdevid 2 size 9 used 8 path /dev/mapper/vg-lv\n";
  expect_left_alone();
  EXPECT_NE(shell.commands.back().find(" /dev/sda2 /dev/mapper/vg-lv"), std::string::npos);
}

TEST_F(KeptPart, OfAVolumeGroupKeepsAllOfIt) {
  volume.type = "LVM2_member";
  shell.answers["-o vg_name /dev/sda2"] = {0, R"({"report":[{"pv":[{"vg_name":"vg"}]}]})", ""};
  shell.answers["--select 'vg_name=\"vg\"'"] = {
      0,
      R"({"report":[{"pv":[{"pv_name":"/dev/sda2"},{"pv_name":"[unknown]"},{"pv_name":"/dev/sda3"}]}]})",
      ""};
  expect_left_alone();
  EXPECT_NE(shell.commands.back().find(" /dev/sda2 /dev/sda3"), std::string::npos);
}

TEST_F(KeptPart, OfSomethingElseHindersNothing) {
  shell.answers["lsblk"].out = "/dev/sda2\n/dev/sda\n";
  context.needs_replay = nullptr;
  measure(context, volume);
  EXPECT_FALSE(volume.left_alone);
}

// One logical volume, of 1 GiB, in a physical volume of 2 GiB.
class LvmContent : public ExtContent {
 protected:
  LvmContent() {
    volume.type = "LVM2_member";
    volume.size = volume.new_size = 2 * io::GiB;
    shell.answers["lv_layout"] = {
        0,
        R"({"report":[{"lv":[{"lv_name":"root","lv_size":"1073741824","lv_layout":"linear"}]}]})",
        ""};
    shell.answers["--segments"] = {
        0, R"({"report":[{"seg":[{"lv_name":"root","segtype":"linear","lv_role":"public"}]}]})",
        ""};
    shell.answers["-s TYPE"] = {0, "ext4\n", ""};
  }

  void has_extents_of(std::uint64_t size) {
    shell.answers["vg_extent_size"] = {
        0,
        R"({"report":[{"pv":[{"vg_name":"vg","vg_missing_pv_count":"0","vg_exported":"",)"
        R"("vg_permissions":"writeable","pv_count":"1","pv_mda_count":"1","pe_start":"1048576",)"
        R"("vg_extent_size":")" +
            std::to_string(size) + R"("}]}]})",
        ""};
  }
};

TEST_F(LvmContent, FollowsItsVolumesInWholeExtents) {
  has_extents_of(100 * io::MiB);
  measure(context, volume);
  EXPECT_EQ(volume.inside.front().action, Action::shrink);
  EXPECT_EQ(volume.inside.front().new_size, 200 * io::MiB);
  EXPECT_EQ(volume.new_size, 201 * io::MiB);
}

TEST_F(LvmContent, DoesNotWorkForLessThanAnExtent) {
  has_extents_of(io::GiB);
  measure(context, volume);
  EXPECT_EQ(volume.inside.front().action, Action::keep);
  EXPECT_EQ(volume.new_size, io::GiB + io::MiB);
}

TEST_F(LvmContent, ThatKeepsItsSizeKeepsThoseOfItsVolumes) {
  has_extents_of(100 * io::MiB);
  volume.size = volume.new_size = 200 * io::MiB;
  measure(context, volume);
  EXPECT_EQ(volume.action, Action::keep);
  EXPECT_EQ(volume.inside.front().action, Action::keep);
}

TEST(Shell, QuotesWords) {
  EXPECT_EQ(shell_word("/dev/sda1"), "/dev/sda1");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("a'b"), "'a'\\''b'");
}

TEST(Shell, FindsNumbers) {
  EXPECT_EQ(number_after("Block count:   12\n", "Block count"), 12U);
  EXPECT_THROW((void)number_after("Block count: many", "Block count"), io::Error);
  EXPECT_THROW((void)number_after("", "Block count"), io::Error);
}

}  // namespace
}  // namespace imgtool::guest
