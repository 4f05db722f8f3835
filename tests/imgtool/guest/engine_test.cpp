#include "imgtool/guest/engine.hpp"

#include <gtest/gtest.h>

namespace imgtool::guest {
namespace {

class Obstacle : public testing::Test {
 protected:
  Obstacle() {
    volume.name = "partition 2";
    volume.partition = 2;
    volume.mapped = true;
  }
  std::string of(const std::string& type) {
    volume.type = type;
    return obstacle_to_direct(volume, needs_replay, options);
  }

  VolumePlan volume;
  ShrinkOptions options;
  bool needs_replay = false;
};

TEST_F(Obstacle, IsNoneForWhatNeedsNoKernel) {
  for (const char* type :
       {"ext2", "ext3", "ext4", "ntfs", "vfat", "swap", "xfs", "", "zfs_member"}) {
    EXPECT_EQ(of(type), "") << type;
  }
}

TEST_F(Obstacle, IsAKernelsWork) {
  EXPECT_NE(of("btrfs"), "");
  EXPECT_NE(of("LVM2_member"), "");
  EXPECT_NE(of("swsuspend"), "");
  options.xfs = XfsChoice::recreate;
  EXPECT_NE(of("xfs"), "");
  options.change_sizes = false;
  EXPECT_EQ(of("xfs"), "");
}

TEST_F(Obstacle, IsAJournal) {
  needs_replay = true;
  EXPECT_EQ(of("ext4"), "partition 2 (ext4) has a journal to be replayed");
}

TEST_F(Obstacle, IsFreeSpaceThatOnlyAMountWouldTell) {
  volume.mapped = false;
  EXPECT_NE(of("vfat"), "");
  EXPECT_NE(of("ext4"), "");
  EXPECT_EQ(of("swap"), "");  // nothing is told of it
}

TEST_F(Obstacle, IsAKey) {
  volume.mapped = false;
  EXPECT_EQ(of("crypto_LUKS"), "");  // it is kept
  options.keys = {{2U, "key", "secret"}};
  EXPECT_NE(of("crypto_LUKS"), "");
}

TEST_F(Obstacle, IsNoneInWhatIsKept) {
  options.keep = {2};
  needs_replay = true;
  EXPECT_EQ(of("btrfs"), "");
  options.keep = {3};
  volume.kept = true;
  EXPECT_EQ(of("btrfs"), "");
}

}  // namespace
}  // namespace imgtool::guest
