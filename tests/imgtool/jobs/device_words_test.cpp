#include "imgtool/jobs/device_words.hpp"

#include <gtest/gtest.h>

namespace {

using imgtool::phrase_of;
using imgtool::remedy_of;
using io::DeviceUse;
using io::DeviceUseKind;
using io::ReleaseKind;

TEST(DeviceWords, AMountIsNamedWithTheWayThatLeadsThere) {
  DeviceUse use{DeviceUseKind::mounted, "/mnt/my stick", {"/dev/sdb1"}, {}};
  use.release = {{ReleaseKind::unmount, "/mnt/my stick"}};
  EXPECT_EQ(phrase_of(use), "mounted on /mnt/my stick");
  EXPECT_EQ(remedy_of(use), "umount '/mnt/my stick'");
  use.stack = {"/dev/sdb", "/dev/sdb1", "/dev/md0", "vg0/data"};
  EXPECT_EQ(phrase_of(use), "mounted on /mnt/my stick (through /dev/sdb1, /dev/md0, vg0/data)");
}

TEST(DeviceWords, TheEndOfTheStackIsSaidOnce) {
  DeviceUse use{DeviceUseKind::lvm, "vg0/spare", {"/dev/sdb", "/dev/sdb1", "/dev/md0"}, {}};
  use.stack.emplace_back("vg0/spare");
  EXPECT_EQ(phrase_of(use),
            "in use by the active logical volume vg0/spare (through /dev/sdb1, /dev/md0)");
}

TEST(DeviceWords, StepsThatEndAUseComeInTheirOrder) {
  DeviceUse use{DeviceUseKind::mounted, "/srv", {"/dev/sdb", "vg0/data"}, {}};
  use.release = {{ReleaseKind::unmount, "/srv"},
                 {ReleaseKind::volume_group, "vg0"},
                 {ReleaseKind::raid, "/dev/md0"}};
  EXPECT_EQ(remedy_of(use), "umount /srv && vgchange -an vg0 && mdadm --stop /dev/md0");
}

TEST(DeviceWords, EveryStepHasItsCommand) {
  const auto command = [](ReleaseKind kind, const std::string& object) {
    return remedy_of(DeviceUse{DeviceUseKind::held, "", {}, {{kind, object}}});
  };
  EXPECT_EQ(command(ReleaseKind::swap_off, "/dev/sdb2"), "swapoff /dev/sdb2");
  EXPECT_EQ(command(ReleaseKind::loop, "/dev/loop3"), "losetup -d /dev/loop3");
  EXPECT_EQ(command(ReleaseKind::bcache, "/sys/block/bcache0"),
            "echo 1 > /sys/block/bcache0/bcache/stop");
  EXPECT_EQ(command(ReleaseKind::bcache_set, "/sys/block/sdg"),
            "echo 1 > /sys/block/sdg/bcache/set/stop");
  EXPECT_EQ(command(ReleaseKind::crypt, "luks one"), "cryptsetup close 'luks one'");
  EXPECT_EQ(command(ReleaseKind::multipath, "mpatha"), "multipath -f mpatha");
  EXPECT_EQ(command(ReleaseKind::mapper, "odd"), "dmsetup remove odd");
}

TEST(DeviceWords, WhatNoCommandEndsGetsAdvice) {
  const DeviceUse system{DeviceUseKind::system_disk, "/, /boot/efi", {"/dev/sda3"}, {}};
  EXPECT_EQ(phrase_of(system), "part of the running system (/, /boot/efi)");
  EXPECT_EQ(remedy_of(system), "choose another device: this one runs the system");
  const DeviceUse locked{DeviceUseKind::read_only, "/dev/sdb", {"/dev/sdb"}, {}};
  EXPECT_EQ(phrase_of(locked), "read-only");
  EXPECT_EQ(remedy_of(locked), "blockdev --setrw /dev/sdb, or look for a write-protect switch");
  EXPECT_EQ(remedy_of(DeviceUse{DeviceUseKind::mounted, "/", {"/dev/sda"}, {}}), "");
}

}  // namespace
