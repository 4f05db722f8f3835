#include "io/devices/device_inventory.hpp"

#include <gmock/gmock.h>
#include <sys/sysmacros.h>

#include "io/byte_range.hpp"
#include "io/devices/device_identity.hpp"
#include "tests/support/fake_system.hpp"

namespace {

using io::BlockDevice;
using io::DeviceInventory;
using io::DeviceKind;
using io::GiB;
using io::MapperKind;
using testing::ElementsAre;
using testing::IsEmpty;

const std::string sata_place = "pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0";
const std::string usb_place = "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0";

class DeviceInventoryTest : public testing::Test {
 protected:
  const BlockDevice& device(const std::string& name) {
    inventory.emplace(system.roots());
    const BlockDevice* found = inventory->find_name(name);
    if (found == nullptr) {
      throw std::runtime_error("not found: " + name);
    }
    return *found;
  }

  FakeSystem system;
  std::optional<DeviceInventory> inventory;
};

TEST_F(DeviceInventoryTest, TellsASataDiskWithItsPartitions) {
  system.add_disk("sda", "8:0", sata_place, 500 * GiB);
  system.add_partition("sda", "sda10", "8:10", 20 * GiB, GiB);
  system.add_partition("sda", "sda2", "8:2", GiB, 2 * GiB);
  system.set("sda", "device/vendor", "ATA     ");
  system.set("sda", "device/model", "Samsung SSD 870 ");
  system.set("sda", "device/wwid", "naa.5002538f31234567");
  system.set("sda", "queue/rotational", "0");
  system.write("sys/devices/" + sata_place + "/vpd_pg80",
               std::string("\0\x80\0\x14     S6PTNM0T512345 ", 24));
  system.link("dev/disk/by-id/wwn-0x5002538f31234567", "../../sda");
  system.link("dev/disk/by-id/ata-Samsung_SSD_870_EVO_1TB_S6PTNM0T512345", "../../sda");
  system.link("dev/disk/by-id/ata-Samsung_SSD_870_EVO_1TB_S6PTNM0T512345-part2", "../../sda2");

  const BlockDevice& disk = device("sda");
  EXPECT_EQ(disk.path, system.path("dev/sda"));
  EXPECT_EQ(disk.number, makedev(8, 0));
  EXPECT_EQ(disk.kind, DeviceKind::disk);
  EXPECT_EQ(disk.transport, "sata");
  EXPECT_EQ(disk.size_bytes, 500 * GiB);
  EXPECT_EQ(disk.logical_sector_bytes, 512u);
  EXPECT_EQ(disk.physical_sector_bytes, 4096u);
  EXPECT_EQ(disk.serial, "S6PTNM0T512345");
  EXPECT_EQ(disk.model, "Samsung SSD 870 EVO 1TB");  // whole, not the 16 bytes of the inquiry
  EXPECT_EQ(disk.wwn, "0x5002538f31234567");
  EXPECT_EQ(disk.stable_path(),
            system.path("dev/disk/by-id/ata-Samsung_SSD_870_EVO_1TB_S6PTNM0T512345"));
  EXPECT_THAT(disk.partitions, ElementsAre("sda2", "sda10"));

  const BlockDevice& part = *inventory->find_name("sda2");
  EXPECT_EQ(part.kind, DeviceKind::partition);
  EXPECT_EQ(part.parent, "sda");
  EXPECT_EQ(part.start_bytes, GiB);
  EXPECT_EQ(part.size_bytes, 2 * GiB);
  EXPECT_EQ(part.transport, "sata");
  EXPECT_EQ(&inventory->whole(part), inventory->find_name("sda"));
}

TEST_F(DeviceInventoryTest, KnowsAnAtaSerialFromTheDesignatorAlone) {
  system.add_disk("sda", "8:0", sata_place, GiB);
  system.set("sda", "device/wwid",
             "t10.ATA     Samsung SSD 870 EVO 1TB                 S6PTNM0T512345      ");
  EXPECT_EQ(device("sda").serial, "S6PTNM0T512345");
}

TEST_F(DeviceInventoryTest, PrefersTheDiskInADockOverTheDock) {
  system.add_disk("sdb", "8:16", usb_place, 240 * GiB);
  system.set("sdb", "device/vendor", "ASMT    ");
  system.set("sdb", "device/model", "2115            ");
  system.write("sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/idVendor", "174c\n");
  system.write("sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/serial", "DOCK00000001\n");

  EXPECT_EQ(device("sdb").transport, "usb");
  EXPECT_EQ(device("sdb").serial, "DOCK00000001");
  EXPECT_EQ(device("sdb").model, "ASMT 2115");

  system.write("run/udev/data/b8:16",
               "S:disk/by-id/ata-INTEL\nE:ID_BUS=ata\nE:ID_MODEL=INTEL_SSDSC2BB240G4\n"
               "E:ID_MODEL_ENC=INTEL\\x20SSDSC2BB240G4\\x20\\x20\nE:ID_SERIAL_SHORT=BTWL1234\n"
               "E:ID_WWN=0x55cd2e404b123456\n");
  const BlockDevice& disk = device("sdb");
  EXPECT_EQ(disk.serial, "BTWL1234");
  EXPECT_EQ(disk.model, "INTEL SSDSC2BB240G4");
  EXPECT_EQ(disk.wwn, "0x55cd2e404b123456");
  EXPECT_THAT(disk.other_serials, ElementsAre("DOCK00000001"));
  EXPECT_TRUE(disk.has_serial("btwl1234"));
  EXPECT_TRUE(disk.has_serial("DOCK00000001"));
  EXPECT_TRUE(disk.has_serial("0x55cd2e404b123456"));
  EXPECT_FALSE(disk.has_serial("BTWL123"));
  EXPECT_FALSE(disk.has_serial(""));
}

TEST_F(DeviceInventoryTest, TakesTheSerialFromALinkAsLastResort) {
  system.add_disk("sdb", "8:16", usb_place, GiB);
  system.link("dev/disk/by-id/usb-SanDisk_Ultra_4C530001230405117342-0:0", "../../sdb");
  EXPECT_EQ(device("sdb").serial, "4C530001230405117342");
}

TEST_F(DeviceInventoryTest, TellsNvme) {
  const std::string place = "pci0000:00/0000:00:1d.0/0000:3d:00.0/nvme/nvme0";
  system.add_disk("nvme0n1", "259:0", place, 1000 * GiB);
  system.add_partition("nvme0n1", "nvme0n1p1", "259:1", 1 << 20, GiB);
  system.set("nvme0n1", "device/serial", "S4EWNX0R123456      ");
  system.set("nvme0n1", "device/model", "Samsung SSD 970 EVO Plus 1TB            ");
  system.set("nvme0n1", "device/transport", "pcie");
  system.set("nvme0n1", "wwid", "eui.0025385b01234567");
  system.link("dev/disk/by-id/nvme-eui.0025385b01234567", "../../nvme0n1");
  system.link("dev/disk/by-id/nvme-Samsung_SSD_970_S4EWNX0R123456_1", "../../nvme0n1");
  system.link("dev/disk/by-id/nvme-Samsung_SSD_970_S4EWNX0R123456", "../../nvme0n1");
  // The hidden path of a multipath namespace has no device number.
  system.add_disk("nvme0c0n1", "0:0", place, 1000 * GiB);

  const BlockDevice& disk = device("nvme0n1");
  EXPECT_EQ(disk.transport, "nvme");
  EXPECT_EQ(disk.serial, "S4EWNX0R123456");
  EXPECT_EQ(disk.model, "Samsung SSD 970 EVO Plus 1TB");
  EXPECT_EQ(disk.wwn, "eui.0025385b01234567");
  EXPECT_EQ(disk.stable_path(), system.path("dev/disk/by-id/nvme-Samsung_SSD_970_S4EWNX0R123456"));
  EXPECT_EQ(inventory->find_name("nvme0c0n1"), nullptr);
  EXPECT_EQ(inventory->whole(*inventory->find_name("nvme0n1p1")).name, "nvme0n1");

  system.set("nvme0n1", "device/transport", "tcp");
  EXPECT_EQ(device("nvme0n1").transport, "nvme-tcp");
}

TEST_F(DeviceInventoryTest, TellsACardAndItsBootAreas) {
  const std::string place = "platform/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa";
  system.add_disk("mmcblk0", "179:0", place, 32 * GiB);
  system.add_partition("mmcblk0", "mmcblk0p1", "179:1", 1 << 22, GiB);
  system.add_disk("mmcblk0boot0", "179:32", place, 4 << 20);
  system.set("mmcblk0", "device/name", "SD32G");
  system.set("mmcblk0", "device/serial", "0x1234abcd");
  const BlockDevice& card = device("mmcblk0");
  EXPECT_EQ(card.kind, DeviceKind::disk);
  EXPECT_EQ(card.transport, "mmc");
  EXPECT_EQ(card.model, "SD32G");
  EXPECT_EQ(card.serial, "0x1234abcd");
  EXPECT_THAT(card.partitions, ElementsAre("mmcblk0p1"));
  EXPECT_EQ(inventory->find_name("mmcblk0boot0")->kind, DeviceKind::other);
}

TEST_F(DeviceInventoryTest, TellsVirtioScsiRomAndOldControllers) {
  system.add_disk("vda", "254:0", "pci0000:00/0000:00:02.0/virtio1", GiB);
  system.set("vda", "serial", "build-disk");
  system.set("vda", "device/vendor", "0x1af4");
  system.add_disk("sdc", "8:32", "pci0000:00/0000:00:05.0/virtio3/host3/target3:0:0/3:0:0:0", GiB);
  system.add_disk("sr0", "11:0", "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0", 0);
  system.add_disk("cciss!c0d0", "104:0", "pci0000:00/0000:0b:08.0/cciss0/c0d0", GiB);
  EXPECT_EQ(device("vda").transport, "virtio");
  EXPECT_EQ(device("vda").serial, "build-disk");
  EXPECT_EQ(device("vda").model, "");
  EXPECT_EQ(device("sdc").transport, "scsi");
  EXPECT_EQ(device("sr0").kind, DeviceKind::optical);
  EXPECT_EQ(device("cciss!c0d0").path, system.path("dev/cciss/c0d0"));
  EXPECT_EQ(inventory->find_path(system.path("dev/cciss/c0d0"))->name, "cciss!c0d0");
}

TEST_F(DeviceInventoryTest, UndoublesTheDashesOfLvmNames) {
  system.add_mapper("dm-0", "253:0", "vg--a-lv--b", "LVM-abc");
  system.add_mapper("dm-1", "253:1", "vg0-root-real", "LVM-def-real");
  system.add_mapper("dm-2", "253:2", "luks-1", "CRYPT-LUKS2-123-luks-1");
  system.add_mapper("dm-3", "253:3", "mpatha", "mpath-3600508b4");
  system.add_mapper("dm-4", "253:4", "mpatha-part1", "part1-mpath-3600508b4");
  system.add_mapper("dm-5", "253:5", "plain", "");
  system.link("dev/vg-a/lv-b", "../dm-0");

  const BlockDevice& volume = device("dm-0");
  EXPECT_EQ(volume.mapper.kind, MapperKind::lvm);
  EXPECT_EQ(volume.mapper.volume_group, "vg-a");
  EXPECT_EQ(volume.mapper.logical_volume, "lv-b");
  EXPECT_THAT(volume.links,
              ElementsAre(system.path("dev/vg-a/lv-b"), system.path("dev/mapper/vg--a-lv--b")));
  EXPECT_EQ(inventory->find_name("dm-1")->mapper.layer, "real");
  EXPECT_EQ(inventory->find_name("dm-1")->mapper.logical_volume, "root");
  EXPECT_EQ(inventory->find_name("dm-2")->mapper.kind, MapperKind::crypt);
  EXPECT_EQ(inventory->find_name("dm-3")->mapper.kind, MapperKind::multipath);
  EXPECT_EQ(inventory->find_name("dm-4")->mapper.kind, MapperKind::partition);
  EXPECT_EQ(inventory->find_name("dm-5")->mapper.kind, MapperKind::other);
  EXPECT_EQ(inventory->find_path(system.path("dev/vg-a/lv-b"))->name, "dm-0");
}

TEST_F(DeviceInventoryTest, GivesAMultipathDiskTheIdentityOfItsPaths) {
  system.add_disk("sdb", "8:16", "pci0000:00/0000:07:00.0/host1/rport-1:0-0/target/1:0:0:1", GiB);
  system.set("sdb", "device/vendor", "HP");
  system.set("sdb", "device/model", "MSA 2040 SAN");
  system.write("sys/devices/pci0000:00/0000:07:00.0/host1/rport-1:0-0/target/1:0:0:1/vpd_pg80",
               std::string("\0\x80\0\x04"
                           "LUN7",
                           8));
  system.add_mapper("dm-0", "253:0", "mpatha", "mpath-3600c0ff");
  system.stack("dm-0", "sdb");
  EXPECT_EQ(device("dm-0").serial, "LUN7");
  EXPECT_EQ(device("dm-0").model, "HP MSA 2040 SAN");
  EXPECT_EQ(device("dm-0").transport, "fc");
  EXPECT_THAT(device("sdb").holders, ElementsAre("dm-0"));
}

TEST_F(DeviceInventoryTest, KeepsHostileNamesWhole) {
  const std::string file = "/srv/two words\nand a line\\040 ";
  system.add_loop("loop3", "7:3", file);
  system.add_disk("sdb", "8:16", usb_place, GiB);
  system.set("sdb", "device/model", "\x1b[2JEvil\nDisk");
  EXPECT_EQ(device("loop3").backing_file, file);
  EXPECT_EQ(device("loop3").transport, "loop");
  EXPECT_EQ(device("sdb").model, "\x1b[2JEvil\nDisk");
}

TEST_F(DeviceInventoryTest, FindsThroughAnyLinkAndRefusesLookalikes) {
  system.add_disk("sda", "8:0", sata_place, GiB);
  system.link("dev/one", "sda");
  system.link("dev/two", "one");
  system.write("elsewhere/sda", "");
  const BlockDevice& disk = device("sda");
  EXPECT_EQ(inventory->find_path(system.path("dev/two")), &disk);
  EXPECT_EQ(inventory->find(makedev(8, 0))->name, "sda");
  EXPECT_EQ(inventory->find(makedev(8, 1)), nullptr);
  EXPECT_EQ(inventory->find_path(system.path("elsewhere/sda")), nullptr);
  EXPECT_EQ(inventory->find_path(system.path("dev/none")), nullptr);
}

TEST_F(DeviceInventoryTest, ReadsTheQueueOfThePartitionsDisk) {
  system.add_disk("sda", "8:0", sata_place, GiB);
  system.add_partition("sda", "sda1", "8:1", 1 << 20, 1 << 20);
  system.set("sda", "queue/nr_requests", "64");
  system.set("sda", "queue/max_sectors_kb", "1280");
  system.set("sda", "queue/optimal_io_size", "0");
  system.set("sda", "queue/discard_granularity", "4096");
  system.set("sda", "queue/scheduler", "none [mq-deadline] kyber");
  system.set("sda", "queue/write_cache", "write back");
  const BlockDevice& part = device("sda1");
  const io::QueueLimits limits = inventory->queue_limits(part);
  EXPECT_EQ(limits.request_count, 64u);
  EXPECT_EQ(limits.max_request_bytes, 1280u * 1024);
  EXPECT_EQ(limits.optimal_io_bytes, 0u);
  EXPECT_EQ(limits.discard_granularity, 4096u);
  EXPECT_EQ(limits.write_zeroes_max_bytes, std::nullopt);  // before Linux 4.10
  EXPECT_EQ(limits.scheduler, "mq-deadline");
  EXPECT_TRUE(limits.write_cache);
}

TEST_F(DeviceInventoryTest, TellsThePort) {
  system.add_disk("sda", "8:0", sata_place, GiB);
  system.add_disk("sdb", "8:16", usb_place, GiB);
  system.write("sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/idVendor", "0781\n");
  EXPECT_EQ(device("sda").port, "");
  EXPECT_EQ(device("sdb").port, "usb-2-1");
  system.link("dev/disk/by-path/pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0", "../../sdb");
  system.link("dev/disk/by-path/pci-0000:00:17.0-ata-3", "../../sda");
  EXPECT_EQ(device("sdb").port, "pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0");
  EXPECT_EQ(device("sda").port, "pci-0000:00:17.0-ata-3");
}

TEST_F(DeviceInventoryTest, TellsWhatADeviceWasAskedFor) {
  system.add_disk("sda", "8:0", sata_place, GiB);
  system.set("sda", "stat", "   1     2    3     4    5   6   7   8     9    10   11\n");
  const BlockDevice& disk = device("sda");
  const auto activity = inventory->activity(disk);
  ASSERT_TRUE(activity);
  EXPECT_EQ(activity->writes, 5u);
  EXPECT_EQ(activity->in_flight, 9u);
  system.set("sda", "stat", "1 2 3 nonsense");
  EXPECT_FALSE(inventory->activity(disk));
}

TEST_F(DeviceInventoryTest, ListsNothingWithoutSysfs) {
  io::SystemRoots roots = system.roots();
  roots.sys = system.path("no-such-folder");
  EXPECT_THAT(DeviceInventory(roots).devices(), IsEmpty());
}

TEST_F(DeviceInventoryTest, SurvivesAttributesThatMakeNoSense) {
  system.add_disk("sda", "8:0", sata_place, GiB);
  system.set("sda", "size", "99999999999999999999999");
  system.set("sda", "queue/logical_block_size", "-1");
  system.set("sda", "device/wwid", "t10.ATA ");
  system.write("sys/devices/" + sata_place + "/vpd_pg80", std::string("\0\x80\xff\xff"
                                                                      "AB",
                                                                      6));
  system.write("run/udev/data/b8:0", "E:ID_MODEL_ENC=\\x2\nE:\nnonsense\nE:=\n");
  const BlockDevice& disk = device("sda");
  EXPECT_EQ(disk.size_bytes, 0u);
  EXPECT_EQ(disk.logical_sector_bytes, 512u);
  EXPECT_EQ(disk.serial, "AB");
}

TEST(DeviceNames, SortAsPeopleCount) {
  std::vector<std::string> names = {"sdaa", "nvme10n1", "sdb",   "nvme2n1", "sda10", "sda2",
                                    "sda",  "vda",      "dm-10", "dm-9",    "sdz"};
  std::sort(names.begin(), names.end(), io::device_name_less);
  EXPECT_THAT(names, ElementsAre("dm-9", "dm-10", "nvme2n1", "nvme10n1", "sda", "sda2", "sda10",
                                 "sdb", "sdz", "sdaa", "vda"));
}

TEST(RealDevices, EveryListedOneIsFoundAgain) {
  const DeviceInventory inventory;
  for (const BlockDevice& device : inventory.devices()) {
    EXPECT_EQ(inventory.find(device.number), &device);
    EXPECT_EQ(inventory.find_name(device.name), &device);
  }
}

}  // namespace
