#include "imgtool/reports/device_report.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "imgtool/terminal/table.hpp"
#include "tests/support/fake_system.hpp"

namespace {

using imgtool::Column;
using imgtool::Table;
using io::GiB;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A laptop: system disk with LVM, a USB stick that is mounted, a stranger's stick, a loop.
class DeviceReportTest : public testing::Test {
 protected:
  void SetUp() override {
    system.add_disk("sda", "8:0", "pci0/ata1/host0", 932 * GiB);
    system.set("sda", "device/model", "Samsung SSD 870");
    system.set("sda", "serial", "S6PTNM0T512345");
    system.add_partition("sda", "sda1", "8:1", GiB, 900 * GiB);
    system.add_mapper("dm-0", "253:0", "vg-root", "LVM-a");
    system.stack("dm-0", "sda1");
    system.add_mount("253:0", "/", "/dev/mapper/vg-root");
    for (const char* folder : {"/srv/a", "/srv/b", "/srv/c", "/srv/d", "/srv/e"}) {
      system.add_mount("253:0", folder, "/dev/mapper/vg-root", "ext4", "rw", "/x");
    }
    system.add_disk("sdb", "8:16", "pci0/usb1/host6", 16 * GiB);
    system.set("sdb", "removable", "1");
    system.set("sdb", "device/model", "\x1b[31mUltra\n");
    system.link("dev/disk/by-id/usb-SanDisk_Ultra_4C53-0:0", "../../sdb");
    system.add_mount("8:16", "/mnt/my\\040stick", "/dev/sdb", "vfat");
    system.add_disk("sdc", "8:32", "pci0/usb1/host7", 0);
    system.add_loop("loop0", "7:0", "/images/of a disk.img");
    system.add_disk("loop1", "7:1", "virtual", 0);
  }
  std::string table(const imgtool::DeviceTableOptions& options) {
    return device_table(imgtool::listed_devices(inventory(), options.kinds), *usage, options);
  }
  const io::DeviceInventory& inventory() {
    usage.reset();
    found.emplace(system.roots());
    usage.emplace(*found);
    return *found;
  }

  FakeSystem system;
  std::optional<io::DeviceInventory> found;
  std::optional<io::DeviceUsage> usage;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (const std::string_view line : io::split(text, '\n')) {
    lines.emplace_back(line);
  }
  lines.pop_back();
  return lines;
}

TEST_F(DeviceReportTest, ListsDisksThatHaveAMedium) {
  const std::string dev = system.path("dev");
  const std::string pad(dev.size() - 1, ' ');
  EXPECT_THAT(lines_of(table({})),
              ElementsAre("DEVICE" + pad +
                              "     SIZE  BUS   SECTORS   MODEL            SERIAL          USED BY",
                          dev + "/sda   932 GiB  sata  512/4096  Samsung SSD 870  S6PTNM0T512345  "
                                "system: /; mounted: /srv/a, /srv/b, /srv/c and 2 more",
                          dev + "/sdb  16.0 GiB  usb   512/4096  \\x1b[31mUltra    4C53            "
                                "mounted: /mnt/my stick; removable",
                          "    " + dev + "/disk/by-id/usb-SanDisk_Ultra_4C53-0:0"));
}

TEST_F(DeviceReportTest, ListsTheRestAfterTheDisksOnRequest) {
  std::vector<std::string> names;
  for (const io::BlockDevice* device : imgtool::listed_devices(inventory(), true)) {
    names.push_back(device->name);
  }
  EXPECT_THAT(names, ElementsAre("sda", "sda1", "sdb", "sdc", "dm-0", "loop0"));
  const std::string text = table({.kinds = true, .width = {}});
  EXPECT_THAT(text, HasSubstr("no medium"));
  EXPECT_THAT(text, HasSubstr("/images/of a disk.img"));
  EXPECT_THAT(text, HasSubstr("partition"));
  EXPECT_THAT(text, HasSubstr("lvm"));
}

TEST_F(DeviceReportTest, FitsTheTerminal) {
  const std::size_t path = system.path("dev/sda").size();  // never cut: it is what one types
  for (const std::size_t width : {path + 30, path + 45, path + 60, path + 80}) {
    for (const std::string& line : lines_of(table({.width = width}))) {
      if (!line.starts_with("    ")) {  // nor is a stable name
        EXPECT_LE(line.size(), width) << line;
      }
    }
  }
}

TEST_F(DeviceReportTest, TellsTheWayOutWhenVerbose) {
  const std::string text = table({.verbose = true, .width = {}});
  EXPECT_THAT(text, HasSubstr("    mounted on /mnt/my stick: umount '/mnt/my stick'\n"));
  EXPECT_THAT(text, HasSubstr("part of the running system (/)"));
  EXPECT_THAT(text, Not(HasSubstr("umount / ")));
}

nlohmann::json parsed(const imgtool::Json& document) {
  return nlohmann::json::parse(document.text(-1));
}

TEST_F(DeviceReportTest, JsonHasExactBytesAndNamesAsTheyAre) {
  const io::BlockDevice& stick = *inventory().find_name("sdb");
  const auto json = parsed(imgtool::device_document(stick, *usage));
  EXPECT_EQ(json["size"], 16 * GiB);
  EXPECT_EQ(json["model"], "\x1b[31mUltra");
  EXPECT_EQ(json["removable"], true);
  EXPECT_EQ(json["system"], false);
  EXPECT_EQ(json["wwn"], nullptr);
  EXPECT_EQ(json["uses"][0]["kind"], "mounted");
  EXPECT_EQ(json["uses"][0]["detail"], "/mnt/my stick");
  EXPECT_EQ(json["uses"][0]["remedy"], "umount '/mnt/my stick'");
  const auto volume = parsed(imgtool::device_document(*found->find_name("dm-0"), *usage));
  EXPECT_EQ(volume["mapper"]["volume-group"], "vg");
  EXPECT_EQ(volume["mapper"]["volume_group"], "vg");  // the old name, for one version
  EXPECT_EQ(volume["system"], true);
}

TEST(TableTest, LeavesOutEmptyColumnsAndTrailingBlanks) {
  Table table(
      {{.title = "A"}, {.title = "EMPTY"}, {.title = "N", .right_aligned = true}, {.title = "Z"}});
  table.add({"x", "", "1", ""});
  table.add({"long", "", "22", "z"});
  EXPECT_THAT(table.lines(std::nullopt), ElementsAre("A      N  Z", "x      1", "long  22  z"));
}

TEST(TableTest, CutsFirstThenDropsColumns) {
  Table table({{.title = "A"},
               {.title = "B", .cut = Column::Cut::front, .least = 6, .leaves = 1},
               {.title = "C", .cut = Column::Cut::back, .least = 5}});
  table.add({"key", "/a/long/path", "some words\xe4\xb8\xad"});
  EXPECT_THAT(table.lines(24), ElementsAre("A    B       C", "key  ..path  some word.."));
  EXPECT_THAT(table.lines(18), ElementsAre("A    B       C", "key  ..path  som.."));
  EXPECT_THAT(table.lines(17), ElementsAre("A    C", "key  some words\xe4\xb8\xad"));
  EXPECT_THAT(table.lines(2), ElementsAre("A    C", "key  som.."));
}

}  // namespace
