#include "imgtool/virt/disk_xml.hpp"

#include <gmock/gmock.h>

#include "imgtool/terminal/usage_error.hpp"
#include "imgtool/virt/domain_xml.hpp"
#include "io/error.hpp"

namespace imgtool::virt {
namespace {

using testing::HasSubstr;
using testing::Not;

DiskPlan sample_plan() {
  DiskPlan plan;
  plan.source = {SourceType::block, "/dev/vg0/data"};
  plan.format = "raw";
  plan.target = "vdb";
  plan.bus = "virtio";
  plan.cache = "none";
  plan.io = "native";
  plan.discard = "unmap";
  plan.detect_zeroes = "unmap";
  plan.serial = "imgtool-1a2b3c4d";
  return plan;
}

// A disk's XML as the only one of a domain, read back.
DomainDisk read_back(const std::string& disk) {
  return read_domain("<domain><devices>" + disk + "</devices></domain>").disks.at(0);
}

TEST(DiskXml, SaysAllThatWasDecided) {
  EXPECT_EQ(disk_xml(sample_plan()), R"(<disk type="block" device="disk">
  <driver name="qemu" type="raw" cache="none" io="native" discard="unmap" detect_zeroes="unmap" />
  <source dev="/dev/vg0/data" />
  <target dev="vdb" bus="virtio" />
  <serial>imgtool-1a2b3c4d</serial>
</disk>
)");
}

TEST(DiskXml, CarriesHostileNames) {
  DiskPlan plan = sample_plan();
  for (const std::string name : {"/srv/a'b\"c<d>&e.img", "/srv/ two  blanks ", "/srv/]]>.img",
                                 "/srv/&amp;.img", "/srv/'/><serial>x</serial>", "/srv/ünï.img"}) {
    plan.source = {SourceType::file, name};
    const DomainDisk disk = read_back(disk_xml(plan));
    EXPECT_EQ(disk.image.source.path, name);
    EXPECT_EQ(disk.serial, "imgtool-1a2b3c4d");
  }
}

TEST(DiskXml, WritesEveryKindOfSource) {
  const std::vector<DiskSource> sources = {
      {SourceType::file, "/a.img"},
      {.type = SourceType::volume, .pool = "fast", .volume = "web1"},
      *parse_network_source("nbd://Host.example:10810/export/1"),
      *parse_network_source("nbd://[fe80::1]/x"),
      *parse_network_source("nbd+unix:///x?socket=/run/nbd.sock"),
      *parse_network_source("rbd:pool/image@snap")};
  for (const DiskSource& source : sources) {
    DiskPlan plan = sample_plan();
    plan.source = source;
    const DiskSource back = read_back(disk_xml(plan)).image.source;
    EXPECT_EQ(back.label(), source.label());
    EXPECT_EQ(back.type, source.type);
  }
}

TEST(DiskXml, ReadOnlyAndSharedAreElements) {
  DiskPlan plan = sample_plan();
  plan.readonly = true;
  plan.shareable = true;
  const DomainDisk disk = read_back(disk_xml(plan));
  EXPECT_TRUE(disk.readonly);
  EXPECT_TRUE(disk.shareable);
}

TEST(DiskXml, TheOtherHalfGetsNoAddressAliasOrChain) {
  const std::string text = for_other_half(
      "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>"
      "<source file='/a.qcow2' index='3'><privateData/></source>"
      "<backingStore type='file'><source file='/b'/></backingStore>"
      "<target dev='vdb' bus='virtio'/><serial>S</serial><alias name='virtio-disk1'/>"
      "<address type='pci' bus='0x04'/></disk>");
  EXPECT_THAT(text, Not(HasSubstr("alias")));
  EXPECT_THAT(text, Not(HasSubstr("address")));
  EXPECT_THAT(text, Not(HasSubstr("backingStore")));
  EXPECT_THAT(text, Not(HasSubstr("index")));
  EXPECT_EQ(read_back(text).serial, "S");
  EXPECT_EQ(read_back(text).image.format, "qcow2");
}

TEST(DiskXml, ARedefinedDomainIsOtherwiseAsItWas) {
  const std::string before =
      "<domain type='kvm'>\n  <!-- a comment --><name>a &amp; b</name>\n  <description>  two\n "
      "lines </description>\n  <devices>\n    <disk type='file'><target dev='vda'/></disk>\n"
      "    <graphics type='vnc' passwd='s&lt;cret'/>\n  </devices>\n</domain>\n";
  const std::string after = with_disk(before, disk_xml(sample_plan()));
  EXPECT_THAT(after, HasSubstr("passwd=\"s&lt;cret\""));
  EXPECT_THAT(after, HasSubstr("<!-- a comment -->"));
  EXPECT_THAT(after, HasSubstr("  two\n lines "));
  EXPECT_THAT(after, HasSubstr("a &amp; b"));
  ASSERT_EQ(read_domain(after).disks.size(), 2U);
  EXPECT_EQ(read_domain(after).disks[1].target, "vdb");

  const std::string back = without_disk(after, "vdb");
  ASSERT_EQ(read_domain(back).disks.size(), 1U);
  EXPECT_EQ(read_domain(back).disks[0].target, "vda");
  EXPECT_THROW((void)without_disk(back, "vdb"), io::Error);
}

TEST(DiskXml, WhatIsNoDomainIsAnError) {
  EXPECT_THROW((void)with_disk("<domain/>", "<disk/>"), io::Error);
  EXPECT_THROW((void)with_disk("no xml", "<disk/>"), io::Error);
  EXPECT_THROW((void)read_domain("<disk/>"), io::Error);
}

TEST(NetworkSource, OtherNamesAreNone) {
  for (const std::string name : {"/dev/sdb", "pool/volume", "disk.img", "C:/x", "/a/nbd://b"}) {
    EXPECT_FALSE(parse_network_source(name)) << name;
  }
}

TEST(NetworkSource, BadNamesAreRefused) {
  for (const std::string name :
       {"nbd://", "nbd:///x", "nbd://host:port/x", "nbd://host:123456/x", "nbd://host/x?tls=1",
        "nbd+unix:///x", "nbd+unix:///x?socket=rel", "nbd+unix:///x?socket=/a&y=1", "rbd:image",
        "rbd:/image", "rbd:pool/", "rbd:pool/image:id=admin", "http://host/x", "iscsi://h/x"}) {
    EXPECT_THROW((void)parse_network_source(name), UsageError) << name;
  }
}

TEST(NetworkSource, TheSameDiskHasOneIdentity) {
  EXPECT_EQ(parse_network_source("nbd://Host/x")->network_identity(),
            parse_network_source("nbd://host:10809/x")->network_identity());
  EXPECT_NE(parse_network_source("nbd://host/x")->network_identity(),
            parse_network_source("nbd://host/y")->network_identity());
  EXPECT_NE(parse_network_source("rbd:p/i")->network_identity(),
            parse_network_source("rbd:p/i@s")->network_identity());
}

}  // namespace
}  // namespace imgtool::virt
