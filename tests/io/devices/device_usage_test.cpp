#include "io/devices/device_usage.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "io/devices/device_openers.hpp"
#include "tests/support/fake_system.hpp"

namespace {

using io::DeviceInventory;
using io::DeviceUsage;
using io::DeviceUse;
using io::DeviceUseKind;
using io::GiB;
using io::ReleaseKind;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;

class DeviceUsageTest : public testing::Test {
 protected:
  void add_sata(const std::string& name, const std::string& number) {
    system.add_disk(name, number, "pci0000:00/ata1/host-" + name, 100 * GiB);
  }
  void scan() {
    usage.reset();
    inventory.emplace(system.roots());
    usage.emplace(*inventory);
  }
  std::vector<DeviceUse> uses(const std::string& name) {
    scan();
    return usage->uses(*inventory->find_name(name));
  }
  std::vector<DeviceUse> reasons(const std::string& target,
                                 const std::vector<std::string>& images = {}) {
    scan();
    return usage->reasons_not_to_write(target, images);
  }
  std::string dev(const std::string& name) const { return system.path("dev/" + name); }
  // By name, sorted.
  std::vector<std::string> disks_below(const std::string& path) {
    scan();
    std::vector<std::string> names;
    for (const io::BlockDevice* device : usage->stack().below(path).devices) {
      if (device->kind == io::DeviceKind::disk) {
        names.push_back(device->name);
      }
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  FakeSystem system;
  std::optional<DeviceInventory> inventory;
  std::optional<DeviceUsage> usage;
};

using Steps = std::vector<io::ReleaseStep>;

auto use(DeviceUseKind kind, const std::string& detail, const Steps& release) {
  return AllOf(Field(&DeviceUse::kind, kind), Field(&DeviceUse::detail, detail),
               Field(&DeviceUse::release, release));
}
auto kind(DeviceUseKind kind) { return Field(&DeviceUse::kind, kind); }

TEST_F(DeviceUsageTest, AFreeDiskHasNoUse) {
  add_sata("sdb", "8:16");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  EXPECT_THAT(uses("sdb"), IsEmpty());
  EXPECT_THAT(reasons(dev("sdb")), IsEmpty());
  EXPECT_THAT(reasons(dev("sdb1")), IsEmpty());
}

TEST_F(DeviceUsageTest, NamesTheMountOfAPartition) {
  add_sata("sdb", "8:16");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.add_partition("sdb", "sdb2", "8:18", GiB, GiB);
  system.add_mount("8:17", "/mnt/my\\040usb\\012stick", "/dev/sdb1");
  const auto mounted = use(DeviceUseKind::mounted, "/mnt/my usb\nstick",
                           Steps{{ReleaseKind::unmount, "/mnt/my usb\nstick"}});
  EXPECT_THAT(uses("sdb"), ElementsAre(mounted));
  EXPECT_THAT(uses("sdb1"), ElementsAre(mounted));
  EXPECT_THAT(uses("sdb2"), IsEmpty());
}

TEST_F(DeviceUsageTest, APartitionOfADiskThatIsUsedWholeIsUsed) {
  add_sata("sdb", "8:16");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.add_mount("8:16", "/mnt", "/dev/sdb");
  EXPECT_THAT(uses("sdb1"), ElementsAre(use(DeviceUseKind::mounted, "/mnt",
                                            Steps{{ReleaseKind::unmount, "/mnt"}})));
}

TEST_F(DeviceUsageTest, FollowsLvmOnMdOnPartitionsUpToTheMount) {
  add_sata("sdb", "8:16");
  add_sata("sdc", "8:32");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, 90 * GiB);
  system.add_partition("sdc", "sdc1", "8:33", 1 << 20, 90 * GiB);
  system.add_disk("md0", "9:0", "virtual", 90 * GiB);
  system.add_mapper("dm-0", "253:0", "vg0-data", "LVM-a");
  system.add_mapper("dm-1", "253:1", "vg0-spare", "LVM-b");
  for (const char* leg : {"sdb1", "sdc1"}) {
    system.stack("md0", leg);
  }
  system.stack("dm-0", "md0");
  system.stack("dm-1", "md0");
  system.add_mount("253:0", "/srv", "/dev/mapper/vg0-data", "xfs");

  const auto found = uses("sdb");
  const io::ReleaseStep group{ReleaseKind::volume_group, "vg0"};
  const io::ReleaseStep array{ReleaseKind::raid, dev("md0")};
  const io::ReleaseStep mount{ReleaseKind::unmount, "/srv"};
  EXPECT_THAT(found, ElementsAre(use(DeviceUseKind::mounted, "/srv", {mount, group, array}),
                                 use(DeviceUseKind::lvm, "vg0/spare", {group, array})));
  EXPECT_THAT(found[0].stack, ElementsAre(dev("sdb"), dev("sdb1"), dev("md0"), "vg0/data"));
  EXPECT_THAT(found[1].stack, ElementsAre(dev("sdb"), dev("sdb1"), dev("md0"), "vg0/spare"));
  EXPECT_THAT(uses("dm-1"), IsEmpty());
}

TEST_F(DeviceUsageTest, NamesEveryKindOfHolder) {
  for (const auto& [name, number] : {std::pair{"sdb", "8:16"},
                                     {"sdc", "8:32"},
                                     {"sdd", "8:48"},
                                     {"sde", "8:64"},
                                     {"sdf", "8:80"},
                                     {"sdg", "8:96"}}) {
    add_sata(name, number);
  }
  system.add_mapper("dm-0", "253:0", "luks one", "CRYPT-LUKS2-1");
  system.add_mapper("dm-1", "253:1", "mpatha", "mpath-1");
  system.add_mapper("dm-2", "253:2", "odd", "");
  system.add_disk("bcache0", "252:0", "virtual", GiB);
  system.add_disk("drbd0", "147:0", "virtual", GiB);
  system.stack("dm-0", "sdb");
  system.stack("dm-1", "sdc");
  system.stack("dm-2", "sdd");
  system.stack("bcache0", "sde");
  system.stack("drbd0", "sdf");
  system.write("sys/devices/pci0000:00/ata1/host-sdg/block/sdg/bcache/set/stop", "");
  EXPECT_THAT(uses("sdb"), ElementsAre(use(DeviceUseKind::crypt, "/dev/mapper/luks one",
                                           Steps{{ReleaseKind::crypt, "luks one"}})));
  EXPECT_THAT(uses("sdc"), ElementsAre(use(DeviceUseKind::multipath, "/dev/mapper/mpatha",
                                           Steps{{ReleaseKind::multipath, "mpatha"}})));
  EXPECT_THAT(uses("sdd"), ElementsAre(use(DeviceUseKind::mapper, "/dev/mapper/odd",
                                           Steps{{ReleaseKind::mapper, "odd"}})));
  EXPECT_THAT(uses("sde"), ElementsAre(kind(DeviceUseKind::bcache)));
  EXPECT_THAT(uses("sdf"), ElementsAre(use(DeviceUseKind::held, dev("drbd0"), Steps{})));
  EXPECT_THAT(uses("sdg"), ElementsAre(kind(DeviceUseKind::bcache)));
}

TEST_F(DeviceUsageTest, SwapOnAPartitionMakesItsDiskTheSystems) {
  add_sata("sdb", "8:16");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.add_partition("sdb", "sdb2", "8:18", GiB, GiB);
  system.add_swap("/dev/sdb2");
  EXPECT_THAT(uses("sdb"), ElementsAre(kind(DeviceUseKind::system_disk),
                                       use(DeviceUseKind::swap, "/dev/sdb2",
                                           Steps{{ReleaseKind::swap_off, "/dev/sdb2"}})));
  EXPECT_THAT(uses("sdb1"), ElementsAre(kind(DeviceUseKind::system_disk)));
}

TEST_F(DeviceUsageTest, TheSystemIsAllBelowItsMounts) {
  add_sata("sda", "8:0");
  add_sata("sdb", "8:16");
  system.add_partition("sda", "sda1", "8:1", 1 << 20, GiB);
  system.add_partition("sda", "sda2", "8:2", GiB, 90 * GiB);
  system.add_partition("sda", "sda3", "8:3", 91 * GiB, GiB);
  system.add_mapper("dm-0", "253:0", "vg0-root", "LVM-a");
  system.add_mapper("dm-1", "253:1", "vg0-guest", "LVM-b");
  system.stack("dm-0", "sda2");
  system.stack("dm-1", "sda2");
  system.add_mount("253:0", "/", "/dev/root");
  system.add_mount("8:1", "/boot/efi", "/dev/sda1", "vfat");
  scan();
  for (const char* name : {"sda", "sda1", "sda2", "sda3", "dm-0"}) {
    EXPECT_TRUE(usage->is_system(*inventory->find_name(name))) << name;
  }
  for (const char* name : {"sdb", "dm-1"}) {  // a guest's volume beside the system may be written
    EXPECT_FALSE(usage->is_system(*inventory->find_name(name))) << name;
  }
  EXPECT_THAT(reasons(dev("sda3")),
              ElementsAre(use(DeviceUseKind::system_disk, "/, /boot/efi", Steps{})));
  EXPECT_THAT(reasons(dev("dm-1")), IsEmpty());
}

TEST_F(DeviceUsageTest, BtrfsIsOnAllItsMembers) {
  add_sata("sda", "8:0");
  add_sata("sdb", "8:16");
  add_sata("sdc", "8:32");
  system.add_partition("sda", "sda1", "8:1", 1 << 20, 90 * GiB);
  system.link("sys/fs/btrfs/0b1c/devices/sda1", "../../../../block/sda/sda1");
  system.link("sys/fs/btrfs/0b1c/devices/sdb", "../../../../block/sdb");
  system.write("proc/cmdline", "quiet root=UUID=0b1c rw\n");
  system.link("dev/disk/by-uuid/0b1c", "../../sda1");
  system.add_mount("0:34", "/", "/dev/root", "btrfs", "rw,subvol=/@", "/@");
  system.add_mount("0:34", system.path("home"), "/dev/sda1", "btrfs", "rw,subvol=/@home", "/@home");
  EXPECT_THAT(uses("sdb"),
              ElementsAre(kind(DeviceUseKind::system_disk),
                          use(DeviceUseKind::mounted, "/", Steps{}), kind(DeviceUseKind::mounted)));
  EXPECT_THAT(uses("sdc"), IsEmpty());
  system.write("home/image.raw", "x");
  EXPECT_THAT(disks_below(system.path("home/image.raw")), ElementsAre("sda", "sdb"));
}

TEST_F(DeviceUsageTest, AnOverlayRootLiesOnItsLayers) {
  system.add_disk("sdb", "8:16", "pci0000:00/usb1/host-sdb", 16 * GiB);
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.add_loop("loop0", "7:0", system.path("medium/live/root.squashfs"));
  system.write("medium/live/root.squashfs", "x");
  system.write("rofs/etc/passwd", "x");
  system.add_mount("8:17", system.path("medium"), "/dev/sdb1", "iso9660");
  system.add_mount("7:0", system.path("rofs"), "/dev/loop0", "squashfs");
  system.add_mount("0:40", "/", "overlay", "overlay",
                   "rw,lowerdir=" + system.path("rofs") + ",upperdir=/nonexistent/upper");
  scan();
  EXPECT_TRUE(usage->is_system(*inventory->find_name("loop0")));
  EXPECT_TRUE(usage->is_system(*inventory->find_name("sdb")));
}

TEST_F(DeviceUsageTest, ALoopDeviceOverADeviceHoldsIt) {
  add_sata("sdb", "8:16");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.add_loop("loop3", "7:3", "/dev/sdb1");
  EXPECT_THAT(uses("sdb"), ElementsAre(use(DeviceUseKind::loop, dev("loop3"),
                                           Steps{{ReleaseKind::loop, dev("loop3")}})));
  EXPECT_THAT(uses("loop3"), IsEmpty());
  system.add_mount("7:3", "/mnt", "/dev/loop3");
  EXPECT_THAT(
      uses("sdb"),
      ElementsAre(use(DeviceUseKind::mounted, "/mnt",
                      Steps{{ReleaseKind::unmount, "/mnt"}, {ReleaseKind::loop, dev("loop3")}})));
}

TEST_F(DeviceUsageTest, RefusesTheDiskThatHoldsTheImage) {
  add_sata("sdb", "8:16");
  add_sata("sdc", "8:32");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.add_partition("sdb", "sdb2", "8:18", GiB, GiB);
  system.write("store/image.raw", "x");
  system.add_mount("8:17", system.path("store"), "/dev/sdb1");
  const std::string image = system.path("store/image.raw");
  EXPECT_THAT(disks_below(image), ElementsAre("sdb"));
  EXPECT_THAT(reasons(dev("sdb"), {image}),
              ElementsAre(kind(DeviceUseKind::mounted), kind(DeviceUseKind::holds_image)));
  EXPECT_THAT(reasons(dev("sdb2"), {image}), IsEmpty());
  EXPECT_THAT(reasons(dev("sdc"), {image}), IsEmpty());
}

TEST_F(DeviceUsageTest, FollowsTheImageThroughLoopsAndVolumes) {
  add_sata("sdb", "8:16");
  system.add_mapper("dm-0", "253:0", "vg0-store", "LVM-a");
  system.stack("dm-0", "sdb");
  system.write("outer/disk.img", "x");
  system.write("inner/image.raw", "x");
  system.add_loop("loop3", "7:3", system.path("outer/disk.img"));
  system.add_mount("253:0", system.path("outer"), "/dev/mapper/vg0-store");
  system.add_mount("7:3", system.path("inner"), "/dev/loop3");
  EXPECT_THAT(disks_below(system.path("inner/image.raw")), ElementsAre("sdb"));
  // The file of the loop device that the image's file system is on.
  EXPECT_TRUE(
      usage->stack().share_storage(system.path("inner/image.raw"), system.path("outer/disk.img")));
}

TEST_F(DeviceUsageTest, KnowsOneStorageUnderTwoNames) {
  add_sata("sdb", "8:16");
  add_sata("sdc", "8:32");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.add_partition("sdb", "sdb2", "8:18", GiB, GiB);
  system.write("a.raw", "x");
  system.write("b.raw", "x");
  system.link("c.raw", "a.raw");
  system.link("dev/disk/by-id/ata-X", "../../sdb");
  system.add_loop("loop3", "7:3", system.path("a.raw"));
  scan();
  const auto shared = [&](const std::string& a, const std::string& b) {
    EXPECT_EQ(usage->stack().share_storage(a, b), usage->stack().share_storage(b, a));
    return usage->stack().share_storage(a, b);
  };
  EXPECT_TRUE(shared(system.path("a.raw"), system.path("c.raw")));
  EXPECT_TRUE(shared(system.path("a.raw"), dev("loop3")));
  EXPECT_TRUE(shared(dev("sdb"), dev("disk/by-id/ata-X")));
  EXPECT_TRUE(shared(dev("sdb1"), dev("sdb")));
  EXPECT_FALSE(shared(dev("sdb1"), dev("sdb2")));
  EXPECT_FALSE(shared(system.path("a.raw"), system.path("b.raw")));
  EXPECT_FALSE(shared(dev("sdb"), dev("sdc")));
  EXPECT_FALSE(shared(system.path("a.raw"), system.path("none.raw")));
  EXPECT_THAT(reasons(dev("loop3"), {system.path("a.raw")}),
              ElementsAre(kind(DeviceUseKind::holds_image)));
}

TEST_F(DeviceUsageTest, RefusesAFileThatALoopDeviceOrSwapUses) {
  system.write("a.raw", "x");
  system.write("swap file", "x");
  system.add_loop("loop3", "7:3", system.path("a.raw"));
  system.add_swap(system.path("swap\\040file"));
  EXPECT_THAT(reasons(system.path("a.raw")), ElementsAre(kind(DeviceUseKind::loop)));
  EXPECT_THAT(reasons(system.path("swap file")), ElementsAre(kind(DeviceUseKind::swap)));
  EXPECT_THAT(reasons(system.path("new.raw")), IsEmpty());
}

TEST_F(DeviceUsageTest, RefusesReadOnlyDisksAndTheirPartitions) {
  add_sata("sdb", "8:16");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.set("sdb", "ro", "1");
  EXPECT_THAT(reasons(dev("sdb")), ElementsAre(kind(DeviceUseKind::read_only)));
  EXPECT_THAT(reasons(dev("sdb1")), ElementsAre(kind(DeviceUseKind::read_only)));
}

TEST_F(DeviceUsageTest, NamesTheProcessThatHasItOpenForWriting) {
  add_sata("sdb", "8:16");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  system.link("proc/812/fd/3", dev("sdb1"));
  system.write("proc/812/fdinfo/3", "pos:\t0\nflags:\t0100000\n");
  system.write("proc/812/comm", "qemu-kvm\n");
  EXPECT_THAT(reasons(dev("sdb")), IsEmpty());  // reading is harmless
  system.write("proc/812/fdinfo/3", "pos:\t0\nflags:\t02100002\n");
  EXPECT_THAT(reasons(dev("sdb")),
              ElementsAre(use(DeviceUseKind::open_for_writing, "qemu-kvm (pid 812)", Steps{})));
  EXPECT_THAT(reasons(dev("sdb1")), ElementsAre(kind(DeviceUseKind::open_for_writing)));
}

TEST_F(DeviceUsageTest, AShortOpenByAnotherProcessIsWaitedFor) {
  add_sata("sdb", "8:16");
  system.link("proc/812/fd/3", dev("sdb"));
  system.write("proc/812/fdinfo/3", "pos:\t0\nflags:\t02100002\n");
  system.write("proc/812/comm", "losetup\n");
  scan();
  EXPECT_THAT(usage->lasting_reasons_not_to_write(dev("sdb")),
              ElementsAre(kind(DeviceUseKind::open_for_writing)));
  std::jthread closes_it([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::filesystem::remove_all(system.path("proc/812"));
  });
  EXPECT_THAT(usage->lasting_reasons_not_to_write(dev("sdb")), IsEmpty());
}

TEST_F(DeviceUsageTest, EndsOnALoopInTheStack) {
  add_sata("sdb", "8:16");
  system.add_mapper("dm-0", "253:0", "a", "");
  system.add_mapper("dm-1", "253:1", "b", "");
  system.stack("dm-0", "sdb");
  system.stack("dm-1", "dm-0");
  system.stack("dm-0", "dm-1");
  EXPECT_FALSE(uses("sdb").empty());
  EXPECT_THAT(disks_below(dev("dm-0")), ElementsAre("sdb"));
}

TEST(MountTable, ReadsHostileLines) {
  FakeSystem system;
  system.write("proc/self/mountinfo",
               "nonsense\n\n1 2 3\n"
               "36 35 98:0 / /a\\134b\\011c rw - ext3  rw\n"
               "37 35 98:1 / /d rw shared:1 master:2 - xfs /dev/sdb1 rw,logdev=/dev/sd\\054c\n"
               "38 35 98:2 / /e rw shared:1 no dash here\n");
  const auto mounts = io::read_mounts(system.roots());
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].mount_point, "/a\\b\tc");
  EXPECT_EQ(mounts[0].source, "");
  EXPECT_EQ(mounts[1].type, "xfs");
  EXPECT_THAT(mounts[1].option_values("logdev"), ElementsAre("/dev/sd,c"));
  EXPECT_EQ(io::unescape_octal("\\04"), "\\04");
  EXPECT_EQ(io::unescape_octal("\\999"), "\\999");
}

TEST(MountTable, TheMountOnTopWins) {
  FakeSystem system;
  system.write("mnt/file", "x");
  system.add_mount("8:1", "/", "/dev/sda1");
  system.add_mount("8:2", system.path("mnt"), "/dev/sda2");
  system.add_mount("8:3", system.path("mnt"), "/dev/sda3");
  const auto mounts = io::read_mounts(system.roots());
  EXPECT_EQ(io::mount_of(system.path("mnt/file"), mounts, system.roots())->source, "/dev/sda3");
  EXPECT_EQ(io::mount_of(system.path("proc"), mounts, system.roots())->source, "/dev/sda1");
  EXPECT_EQ(io::mount_of(system.path("none"), mounts, system.roots()), nullptr);
}

TEST(RealUsage, TheDiskBelowThisMachinesRootIsTheSystems) {
  const DeviceInventory inventory;
  const DeviceUsage usage(inventory);
  for (const io::BlockDevice* device : usage.stack().below("/etc/passwd").devices) {
    EXPECT_TRUE(usage.is_system(*device)) << device->path;
  }
}

// --- what cannot be found out -----------------------------------------------------------------

// Reading the beginning of a process's memory fails with EIO.
constexpr const char* unreadable = "/proc/self/mem";

class DoubtTest : public DeviceUsageTest {
 protected:
  void break_attribute(const std::string& path) const {
    std::filesystem::remove(system.path(path));
    system.link(path, unreadable);
  }
};

TEST_F(DoubtTest, AboutAnotherDiskIsNoneAboutTheTarget) {
  add_sata("sda", "8:0");
  add_sata("sdb", "8:16");
  system.add_partition("sdb", "sdb1", "8:17", 1 << 20, GiB);
  for (const char* attribute : {"size", "dev"}) {
    break_attribute(std::string("sys/block/sdb/") + attribute);
    EXPECT_THAT(reasons(dev("sda")), IsEmpty()) << attribute;
    EXPECT_THAT(inventory->find_name("sdb")->doubt, testing::HasSubstr("Input/output error"));
    EXPECT_EQ(inventory->find_name("sda")->doubt, "");
    EXPECT_THAT(uses("sdb"), ElementsAre(kind(DeviceUseKind::unknown)));
    EXPECT_THAT(uses("sdb1"), ElementsAre(kind(DeviceUseKind::unknown)));
  }
}

TEST_F(DoubtTest, AboutAPartitionOrAHolderIsOneAboutTheTarget) {
  add_sata("sda", "8:0");
  system.add_partition("sda", "sda1", "8:1", 1 << 20, GiB);
  system.add_partition("sda", "sda2", "8:2", 2 << 20, GiB);
  add_sata("sdb", "8:16");
  system.add_mapper("dm-0", "253:0", "vg-root", "LVM-abc");
  system.stack("dm-0", "sdb");
  break_attribute("sys/block/sda/sda2/size");
  break_attribute("sys/block/dm-0/dev");
  EXPECT_THAT(reasons(dev("sda")), ElementsAre(kind(DeviceUseKind::unknown)));
  EXPECT_THAT(reasons(dev("sda1")), IsEmpty());
  EXPECT_THAT(reasons(dev("sda2")), ElementsAre(kind(DeviceUseKind::unknown)));
  EXPECT_THAT(reasons(dev("sdb")), ElementsAre(kind(DeviceUseKind::unknown)));
}

// A partition that cannot be told from other folders may be in use.
TEST_F(DoubtTest, AboutTheListOfPartitionsIsOneAboutTheDisk) {
  add_sata("sda", "8:0");
  for (int number = 1; number <= 20; ++number) {
    const std::string text = std::to_string(number);
    system.add_partition("sda", "sda" + text, "8:" + text, static_cast<unsigned>(number) << 20,
                         1 << 20);
  }
  const std::string flag = system.path("sys/block/sda/sda9/partition");
  std::filesystem::remove(flag);
  std::filesystem::create_symlink("partition", flag);  // ELOOP says nothing of a doubt
  EXPECT_THAT(reasons(dev("sda")), IsEmpty());
  EXPECT_EQ(inventory->find_name("sda")->partitions.size(), 19U);
  break_attribute("sys/block/sda/sda20/size");
  EXPECT_THAT(reasons(dev("sda")), ElementsAre(kind(DeviceUseKind::unknown)));
}

TEST_F(DoubtTest, AMemberOfABtrfsThatIsMountedElsewhereCounts) {
  add_sata("sda", "8:0");
  add_sata("sdb", "8:16");
  for (const char* name : {"sda", "sdb"}) {
    system.write(std::string("sys/fs/btrfs/1234/devices/") + name + "/x", "");
  }
  system.add_mount("0:40", "/srv", "/dev/sda", "btrfs");
  break_attribute("sys/block/sda/dev");
  EXPECT_THAT(reasons(dev("sdb")), ElementsAre(kind(DeviceUseKind::mounted)));
}

// It may show the target, or the file that is the target.
TEST_F(DoubtTest, ALoopDeviceThatMayShowAnythingIsOneAboutAll) {
  add_sata("sda", "8:0");
  system.write("file", "content");
  system.add_loop("loop0", "7:0", system.path("file"));
  break_attribute("sys/block/loop0/loop/backing_file");
  EXPECT_THAT(reasons(dev("sda")), ElementsAre(kind(DeviceUseKind::unknown)));
  EXPECT_THAT(reasons(system.path("file")), ElementsAre(kind(DeviceUseKind::unknown)));
}

}  // namespace
