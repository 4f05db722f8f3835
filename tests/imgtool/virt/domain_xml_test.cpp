#include "imgtool/virt/domain_xml.hpp"

#include <gmock/gmock.h>

#include "imgtool/virt/bus_choice.hpp"
#include "imgtool/virt/target_name.hpp"

namespace imgtool::virt {
namespace {

using testing::HasSubstr;

DomainLayout layout_of(const std::string& devices, const std::string& rest = "") {
  return read_domain("<domain type='kvm'>" + rest + "<devices>" + devices + "</devices></domain>");
}

std::string target_xml(const std::string& name, const std::string& bus = "virtio") {
  return "<disk type='file' device='disk'><source file='/x'/><target dev='" + name + "' bus='" +
         bus + "'/></disk>";
}

TEST(DomainXml, ReadsChainsAndMirrors) {
  const DomainLayout layout = layout_of(R"(
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' io='native'/>
      <source file='/top.qcow2' index='1'/>
      <backingStore type='file' index='2'>
        <format type='qcow2'/><source file='/middle.qcow2'/>
        <backingStore type='block'><format type='raw'/><source dev='/dev/vg/base'/><backingStore/>
        </backingStore>
      </backingStore>
      <mirror type='file' job='copy' ready='yes'>
        <format type='raw'/><source file='/copy.img'/><backingStore/>
      </mirror>
      <target dev='vda' bus='virtio'/><serial>S1</serial><alias name='virtio-disk0'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
    <disk type='nvme' device='disk'><source type='pci'/><target dev='vdb'/></disk>)");
  ASSERT_EQ(layout.disks.size(), 3U);
  const DomainDisk& disk = layout.disks[0];
  EXPECT_EQ(disk.image.source.path, "/top.qcow2");
  EXPECT_EQ(disk.image.format, "qcow2");
  EXPECT_EQ(disk.alias, "virtio-disk0");
  ASSERT_EQ(disk.backing.size(), 2U);
  EXPECT_EQ(disk.backing[0].source.path, "/middle.qcow2");
  EXPECT_EQ(disk.backing[1].source.path, "/dev/vg/base");
  EXPECT_EQ(disk.backing[1].source.type, SourceType::block);
  ASSERT_EQ(disk.mirror.size(), 1U);
  EXPECT_EQ(disk.mirror[0].source.path, "/copy.img");
  EXPECT_EQ(layout.disks[1].image.source.type, SourceType::none);
  EXPECT_TRUE(layout.disks[1].readonly);
  EXPECT_EQ(layout.disks[2].image.source.type, SourceType::other);
  EXPECT_EQ(layout.find_target("sda"), &layout.disks[1]);
  EXPECT_EQ(layout.find_target("vdc"), nullptr);
}

TEST(TargetName, CountsInLetters) {
  EXPECT_EQ(target_letters(0), "a");
  EXPECT_EQ(target_letters(25), "z");
  EXPECT_EQ(target_letters(26), "aa");
  EXPECT_EQ(target_letters(27), "ab");
  EXPECT_EQ(target_letters(701), "zz");
  EXPECT_EQ(target_letters(702), "aaa");
}

TEST(TargetName, IsFreeInBothHalves) {
  const DomainLayout live = layout_of(target_xml("vda") + target_xml("vdc"));
  const DomainLayout config = layout_of(target_xml("vda") + target_xml("vdb"));
  EXPECT_EQ(free_target("virtio", &live, &config), "vdd");
  EXPECT_EQ(free_target("virtio", &live, nullptr), "vdb");
  EXPECT_EQ(free_target("virtio", nullptr, nullptr), "vda");
}

TEST(TargetName, ScsiSataAndUsbShareLetters) {
  const DomainLayout live = layout_of(target_xml("sda", "usb") + target_xml("sdb", "sata"));
  EXPECT_EQ(free_target("scsi", &live, &live), "sdc");
}

TEST(TargetName, IdeHasFourPlaces) {
  const std::string three =
      target_xml("hda", "ide") + target_xml("hdb", "ide") + target_xml("hdd", "ide");
  const DomainLayout layout = layout_of(three);
  EXPECT_EQ(free_target("ide", &layout, nullptr), "hdc");
  const DomainLayout full = layout_of(three + target_xml("hdc", "ide"));
  EXPECT_EQ(free_target("ide", &full, nullptr), std::nullopt);
}

TEST(TargetName, HasToSuitTheBus) {
  EXPECT_TRUE(suits_bus("vdb", "virtio"));
  EXPECT_TRUE(suits_bus("sdaa", "scsi"));
  EXPECT_FALSE(suits_bus("sdb", "virtio"));
  EXPECT_FALSE(suits_bus("vd", "virtio"));
  EXPECT_FALSE(suits_bus("vd1", "virtio"));
  EXPECT_FALSE(suits_bus("vdb'/>", "virtio"));
}

constexpr const char* q35 =
    "<controller type='pci' index='0' model='pcie-root'/>"
    "<controller type='pci' index='1' model='pcie-root-port'>"
    "<address type='pci' bus='0x00' slot='0x02'/></controller>"
    "<controller type='pci' index='2' model='pcie-root-port'>"
    "<address type='pci' bus='0x00' slot='0x03'/></controller>"
    "<controller type='pci' index='3' model='pcie-root-port'><target hotplug='off'/></controller>";

constexpr const char* virtio_scsi =
    "<controller type='scsi' index='0' model='virtio-scsi'><address type='pci' bus='0x01'/>"
    "</controller>";

constexpr const char* nic = "<interface type='user'><address type='pci' bus='0x02'/></interface>";

constexpr const char* windows =
    "<metadata><libosinfo:libosinfo "
    "xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
    "<libosinfo:os id='http://microsoft.com/win/10'/></libosinfo:libosinfo></metadata>";

TEST(BusChoice, IsVirtioWhereAPortIsFree) {
  const DomainLayout layout = layout_of(std::string(q35) + virtio_scsi);
  EXPECT_EQ(layout.free_ports, 1U);
  EXPECT_EQ(choose_bus(layout, {true, true}).bus, "virtio");
}

TEST(BusChoice, IsScsiWhereNoPortIsFree) {
  const DomainLayout layout = layout_of(std::string(q35) + virtio_scsi + nic);
  EXPECT_EQ(layout.free_ports, 0U);
  const BusChoice choice = choose_bus(layout, {true, true});
  EXPECT_EQ(choice.bus, "scsi");
  EXPECT_THAT(choice.reason, HasSubstr("no PCI port"));
  // A shut-off domain gets another port by itself.
  EXPECT_EQ(choose_bus(layout, {false, true}).bus, "virtio");
}

TEST(BusChoice, IsVirtioWithoutPorts) {
  EXPECT_EQ(
      choose_bus(layout_of("<controller type='pci' index='0' model='pci-root'/>"), {true, true})
          .bus,
      "virtio");
}

TEST(BusChoice, WindowsWithoutVirtioGetsWhatItHasADriverFor) {
  const std::string sata = target_xml("sda", "sata");
  const BusChoice choice = choose_bus(layout_of(sata, windows), {false, true});
  EXPECT_EQ(choice.bus, "sata");
  EXPECT_THAT(choice.reason, HasSubstr("microsoft.com/win/10"));
  const std::string old = "<os><type machine='pc-i440fx-7.2'>hvm</type></os>";
  EXPECT_EQ(choose_bus(layout_of(sata, windows + old), {false, true}).bus, "ide");
}

TEST(BusChoice, WindowsOnVirtioGetsVirtio) {
  EXPECT_EQ(choose_bus(layout_of(target_xml("vda"), windows), {true, true}).bus, "virtio");
  EXPECT_EQ(
      choose_bus(layout_of(virtio_scsi + target_xml("sda", "scsi"), windows), {true, true}).bus,
      "scsi");
}

TEST(BusChoice, HypervFeaturesSpeakOfWindowsUnlessMetadataSaysOtherwise) {
  const std::string hyperv = "<features><hyperv><relaxed state='on'/></hyperv></features>";
  EXPECT_EQ(choose_bus(layout_of("", hyperv), {false, true}).bus, "sata");
  const auto clock = [](const std::string& timer) {
    return "<clock offset='localtime'><timer name='" + timer + "'/></clock>";
  };
  EXPECT_EQ(choose_bus(layout_of("", clock("hypervclock' present='yes")), {}).bus, "sata");
  EXPECT_EQ(choose_bus(layout_of("", clock("hypervclock' present='no")), {}).bus, "virtio");
  // Others keep local time, too.
  EXPECT_EQ(choose_bus(layout_of("", clock("rtc' tickpolicy='catchup")), {}).bus, "virtio");
  const std::string debian =
      "<metadata><libosinfo:libosinfo xmlns:libosinfo='x'><libosinfo:os "
      "id='http://debian.org/debian/12'/>"
      "</libosinfo:libosinfo></metadata>";
  EXPECT_EQ(choose_bus(layout_of("", hyperv + debian), {false, true}).bus, "virtio");
}

}  // namespace
}  // namespace imgtool::virt
