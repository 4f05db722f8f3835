#include <gmock/gmock.h>

#include "imgtool/virt/domain_disks.hpp"
#include "io/error.hpp"
#include "tests/support/fake_system.hpp"

namespace imgtool::virt {
namespace {

// A host with a disk sdb (partitions sdb1 and sdb2), LVM on sdb2, and two files; none of it real.
class Conflicts : public testing::Test {
 protected:
  Conflicts() {
    system_.add_disk("sdb", "8:16", "pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0",
                     std::uint64_t{1} << 30);
    system_.add_partition("sdb", "sdb1", "8:17", 1 << 20, 1 << 28);
    system_.add_partition("sdb", "sdb2", "8:18", 1 << 29, 1 << 28);
    system_.add_mapper("dm-3", "254:3", "vg--a-web--data", "LVM-abcdef");
    system_.stack("dm-3", "sdb2");
    system_.link("dev/vg-a/web-data", "../dm-3");
    system_.link("dev/disk/by-id/ata-DISK_S1", "../../sdb");
    system_.link("dev/disk/by-id/ata-DISK_S1-part1", "../../sdb1");
    system_.link("dev/mydisk", "disk/by-id/ata-DISK_S1");
    system_.add_disk("sdc", "8:32", "pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0",
                     std::uint64_t{1} << 30);
    system_.add_mapper("dm-4", "254:4", "bare", "");
    system_.write("files/a.img", "a");
    system_.write("files/b.img", "b");
    system_.link("files/link.img", "a.img");
    host_.emplace(scan_host(system_.roots()),
                  [](const std::string&, const std::string&) { return std::nullopt; });
  }

  [[nodiscard]] std::string dev(const std::string& name) const {
    return system_.path("dev/" + name);
  }

  [[nodiscard]] bool same(const std::string& a, const std::string& b) const {
    return host_->identity(a).file.has_value() &&
           host_->identity(a).file == host_->identity(b).file;
  }

  [[nodiscard]] bool share(const std::string& a, const std::string& b) const {
    return host_->share(host_->identity(a), host_->identity(b));
  }

  // A domain with one disk, running and configured.
  [[nodiscard]] static DomainHalves domain_with(const std::string& name, const std::string& path,
                                                const std::string& extra = "",
                                                const std::string& rest = "") {
    DomainHalves halves;
    halves.name = name;
    halves.active = halves.persistent = true;
    const std::string xml = "<domain><devices><disk type='file' device='disk'><source file='" +
                            path + "'/><target dev='vda' bus='virtio'/>" + extra + "</disk>" +
                            rest + "</devices></domain>";
    halves.live = read_domain(xml);
    halves.config = read_domain(xml);
    return halves;
  }

  [[nodiscard]] std::vector<DiskUse> conflicts(const std::string& path, const DomainHalves& other,
                                               bool readonly = false, bool shared = false) const {
    const IntendedUse intended{host_->identity(path), {}, readonly, shared};
    return find_conflicts(intended, collect_uses({other}, *host_).uses, *host_);
  }

  FakeSystem system_;
  std::optional<HostStorage> host_;
};

TEST_F(Conflicts, ASavedStateUsesItsDisks) {
  DomainHalves saved = domain_with("web", system_.path("files/a.img"));
  saved.active = false;
  saved.live.reset();
  saved.saved.swap(saved.config);
  const auto found = conflicts(system_.path("files/link.img"), saved);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(describe(found.front()), testing::HasSubstr("web (in its saved state)"));
}

TEST_F(Conflicts, EveryNameOfADeviceIsOneIdentity) {
  EXPECT_TRUE(same(dev("sdb"), dev("disk/by-id/ata-DISK_S1")));
  EXPECT_TRUE(same(dev("sdb"), dev("mydisk")));
  EXPECT_TRUE(same(dev("dm-3"), dev("vg-a/web-data")));
  EXPECT_TRUE(same(dev("dm-3"), dev("mapper/vg--a-web--data")));
  EXPECT_TRUE(same(system_.path("files/a.img"), system_.path("files/link.img")));
  EXPECT_TRUE(same(system_.path("files/a.img"), system_.path("files/../files/./a.img")));
  EXPECT_FALSE(same(dev("sdb"), dev("sdc")));
  EXPECT_FALSE(same(dev("sdb"), dev("sdb1")));
  EXPECT_FALSE(same(system_.path("files/a.img"), system_.path("files/b.img")));
}

TEST_F(Conflicts, PartsShareStorageAndNeighboursDoNot) {
  EXPECT_TRUE(share(dev("sdb"), dev("sdb1")));
  EXPECT_TRUE(share(dev("sdb1"), dev("sdb")));
  EXPECT_TRUE(share(dev("sdb"), dev("vg-a/web-data")));
  EXPECT_TRUE(share(dev("sdb2"), dev("mapper/vg--a-web--data")));
  EXPECT_FALSE(share(dev("sdb1"), dev("vg-a/web-data")));
  EXPECT_FALSE(share(dev("sdb1"), dev("sdb2")));
  EXPECT_FALSE(share(dev("sdc"), dev("sdb1")));
}

TEST_F(Conflicts, WritesNamesThatLast) {
  EXPECT_EQ(host_->lasting_name(dev("sdb")).path, dev("disk/by-id/ata-DISK_S1"));
  EXPECT_EQ(host_->lasting_name(dev("mydisk")).path, dev("disk/by-id/ata-DISK_S1"));
  EXPECT_EQ(host_->lasting_name(dev("sdb1")).path, dev("disk/by-id/ata-DISK_S1-part1"));
  EXPECT_EQ(host_->lasting_name(dev("dm-3")).path, dev("vg-a/web-data"));
  // What the user wrote stays where it lasts.
  EXPECT_EQ(host_->lasting_name(dev("mapper/vg--a-web--data")).path, dev("mapper/vg--a-web--data"));
  EXPECT_EQ(host_->lasting_name(dev("disk/by-id/ata-DISK_S1")).path, dev("disk/by-id/ata-DISK_S1"));
  EXPECT_EQ(host_->lasting_name(dev("dm-4")).path, dev("mapper/bare"));
  EXPECT_FALSE(host_->lasting_name(dev("sdc")).lasts);
  EXPECT_TRUE(host_->lasting_name(dev("sdb")).lasts);
}

TEST_F(Conflicts, ANumberOfDeviceMapperIsNoName) {
  system_.add_disk("dm-9", "254:9", "virtual", 1 << 20);
  system_.set("dm-9", "dm/name", "gone");
  const HostStorage host(scan_host(system_.roots()),
                         [](const auto&, const auto&) { return std::nullopt; });
  EXPECT_THROW((void)host.lasting_name(dev("dm-9")), io::Error);
}

TEST_F(Conflicts, TheSameDiskElsewhereIsAConflict) {
  const auto found = conflicts(dev("mydisk"), domain_with("web2", dev("sdb")));
  ASSERT_EQ(found.size(), 1U);  // both halves are one use
  EXPECT_EQ(describe(found[0]), "the disk vda of the domain web2 (running)");
  EXPECT_TRUE(found[0].halves.live);
  EXPECT_TRUE(found[0].halves.config);
}

TEST_F(Conflicts, APartOfADiskElsewhereIsAConflict) {
  EXPECT_EQ(conflicts(dev("sdb"), domain_with("web2", dev("mapper/vg--a-web--data"))).size(), 1U);
  EXPECT_EQ(conflicts(dev("sdb1"), domain_with("web2", dev("mapper/vg--a-web--data"))).size(), 0U);
}

TEST_F(Conflicts, OnlyBothReadingOrBothSharingIsFine) {
  const std::string a = system_.path("files/a.img");
  EXPECT_EQ(conflicts(a, domain_with("w", a), true, false).size(), 1U);
  EXPECT_EQ(conflicts(a, domain_with("w", a, "<readonly/>"), false, false).size(), 1U);
  EXPECT_EQ(conflicts(a, domain_with("w", a, "<readonly/>"), true, false).size(), 0U);
  EXPECT_EQ(conflicts(a, domain_with("w", a), false, true).size(), 1U);
  EXPECT_EQ(conflicts(a, domain_with("w", a, "<shareable/>"), false, false).size(), 1U);
  EXPECT_EQ(conflicts(a, domain_with("w", a, "<shareable/>"), false, true).size(), 0U);
}

TEST_F(Conflicts, AnImageBelowOrBesideADiskIsAConflict) {
  const std::string a = system_.path("files/a.img");
  const std::string b = system_.path("files/b.img");
  const std::string below =
      "<backingStore type='file'><format type='raw'/><source file='" + b + "'/></backingStore>";
  const auto found = conflicts(b, domain_with("w", a, below));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].role, Role::backing);
  // Sharing is no way out: an overlay does not bear that what is below it changes. Reading is.
  EXPECT_EQ(conflicts(b, domain_with("w", a, below + "<shareable/>"), false, true).size(), 1U);
  EXPECT_EQ(conflicts(b, domain_with("w", a, below), true).size(), 0U);

  const std::string mirror = "<mirror type='file' job='copy'><source file='" + b + "'/></mirror>";
  const auto copied = conflicts(b, domain_with("w", a, mirror), true);
  ASSERT_EQ(copied.size(), 1U);
  EXPECT_EQ(copied[0].role, Role::mirror);
}

TEST_F(Conflicts, OurOwnChainMustNotBeWrittenElsewhere) {
  const std::string a = system_.path("files/a.img");
  const std::string b = system_.path("files/b.img");
  const IntendedUse intended{host_->identity(a), {host_->identity(b)}};
  const auto uses = [&](const std::string& extra) {
    return collect_uses({domain_with("w", b, extra)}, *host_).uses;
  };
  EXPECT_EQ(find_conflicts(intended, uses(""), *host_).size(), 1U);
  EXPECT_EQ(find_conflicts(intended, uses("<readonly/>"), *host_).size(), 0U);
}

// --- devices of the host that a guest has -------------------------------------------------

class HostDevices : public Conflicts {
 protected:
  HostDevices() {
    system_.add_disk("nvme0n1", "259:0", "pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0",
                     std::uint64_t{1} << 30);
    system_.add_partition("nvme0n1", "nvme0n1p1", "259:1", 1 << 20, 1 << 28);
    // One with two controllers is below neither.
    system_.add_disk("nvme1n1", "259:8", "virtual/nvme-subsystem/nvme-subsys1",
                     std::uint64_t{1} << 30);
    system_.write("sys/devices/pci0000:00/0000:00:1e.0/0000:02:00.0/nvme/nvme1/state", "live");
    system_.link("sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1",
                 "../../../pci0000:00/0000:00:1e.0/0000:02:00.0/nvme/nvme1");
    system_.add_disk("sdd", "8:48",
                     "pci0000:00/0000:00:14.0/usb2/2-7/2-7:1.0/host6/target6:0:0/6:0:0:0",
                     std::uint64_t{1} << 30);
    for (const auto& [name, value] :
         {std::pair("busnum", "2"), std::pair("devnum", "11"), std::pair("idVendor", "0951"),
          std::pair("idProduct", "1666")}) {
      system_.write(std::string("sys/devices/pci0000:00/0000:00:14.0/usb2/2-7/") + name, value);
    }
    host_.emplace(scan_host(system_.roots()),
                  [](const std::string&, const std::string&) { return std::nullopt; });
  }

  // The error of an attempt to attach `name` while another domain has `device`.
  [[nodiscard]] std::vector<DiskUse> found(const std::string& name, const std::string& device,
                                           bool readonly = false, bool shared = false) const {
    return conflicts(dev(name), domain_with("web2", "/none.img", "", device), readonly, shared);
  }
};

std::string pci(const std::string& bus, const std::string& slot = "0x00") {
  return "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "
         "bus='" +
         bus + "' slot='" + slot + "' function='0x0'/></source></hostdev>";
}

std::string scsi(const std::string& host, const std::string& unit, const std::string& more = "") {
  return "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host" + host +
         "'/><address bus='0' target='0' unit='" + unit + "'/></source>" + more + "</hostdev>";
}

TEST_F(HostDevices, ADriveOnThePciBusIsAConflict) {
  const auto uses = found("nvme0n1", pci("0x01"));
  ASSERT_EQ(uses.size(), 1U);
  EXPECT_EQ(uses[0].role, Role::device);
  EXPECT_EQ(describe(uses[0]), "on the PCI device 0000:01:00.0 that the domain web2 (running) has");
  EXPECT_EQ(found("nvme0n1p1", pci("0x01")).size(), 1U);
  EXPECT_EQ(found("nvme1n1", pci("0x02")).size(), 1U);
  EXPECT_EQ(found("nvme0n1", pci("0x02")).size(), 0U);
  EXPECT_EQ(found("nvme1n1", pci("0x01")).size(), 0U);
}

TEST_F(HostDevices, ADiskOnAControllerThatAGuestHasIsAConflict) {
  EXPECT_EQ(found("sdb", pci("0x00", "0x1f")).size(), 0U);  // function 0, and it is function 2
  const std::string controller =
      "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='0x1f' "
      "function='2'/></source></hostdev>";
  EXPECT_EQ(found("sdb", controller).size(), 1U);
  EXPECT_EQ(found("vg-a/web-data", controller).size(), 1U);
}

TEST_F(HostDevices, AnNvmeDiskOfAGuestIsAConflict) {
  const std::string disk =
      "<disk type='nvme' device='disk'><source type='pci' namespace='1'><address domain='0x0000' "
      "bus='0x01' slot='0x00' function='0x0'/></source><target dev='vdb' bus='virtio'/></disk>";
  const auto uses = found("nvme0n1", disk);
  ASSERT_EQ(uses.size(), 1U);
  EXPECT_EQ(uses[0].target, "vdb");
  EXPECT_EQ(found("nvme1n1", disk).size(), 0U);
}

TEST_F(HostDevices, ADiskOnTheScsiBusIsAConflict) {
  EXPECT_EQ(found("sdb", scsi("1", "0")).size(), 1U);
  EXPECT_EQ(found("vg-a/web-data", scsi("1", "0")).size(), 1U);  // lies on it
  EXPECT_EQ(found("sdb", scsi("1", "1")).size(), 0U);
  EXPECT_EQ(found("sdb", scsi("2", "0")).size(), 0U);
  EXPECT_EQ(found("sdb", scsi("1", "0", "<readonly/>"), true).size(), 0U);
  EXPECT_EQ(found("sdb", scsi("1", "0", "<readonly/>"), false).size(), 1U);
  EXPECT_EQ(found("sdb", scsi("1", "0", "<shareable/>"), false, true).size(), 0U);
  const std::string network =
      "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.x/1'/></hostdev>";
  EXPECT_EQ(found("sdb", network).size(), 0U);
}

TEST_F(HostDevices, AUsbStickIsAConflict) {
  const auto usb = [](const std::string& source) {
    return "<hostdev mode='subsystem' type='usb'><source>" + source + "</source></hostdev>";
  };
  EXPECT_EQ(found("sdd", usb("<address bus='2' device='11'/>")).size(), 1U);
  EXPECT_EQ(found("sdd", usb("<address bus='2' device='12'/>")).size(), 0U);
  EXPECT_EQ(found("sdd", usb("<vendor id='0x0951'/><product id='0x1666'/>")).size(), 1U);
  EXPECT_EQ(found("sdd", usb("<vendor id='0x0951'/><product id='0x1667'/>")).size(), 0U);
  EXPECT_EQ(found("sdb", usb("<address bus='2' device='11'/>")).size(), 0U);
}

TEST_F(Conflicts, OnAnotherHostNamesAreCompared) {
  const HostStorage remote(std::nullopt, [](const std::string& pool, const std::string& volume) {
    return std::optional("/pools/" + pool + "/" + volume);
  });
  EXPECT_TRUE(remote.share(remote.identity("/srv/a.img"), remote.identity("/srv/x/../a.img")));
  EXPECT_FALSE(remote.share(remote.identity("/srv/a.img"), remote.identity("/srv/b.img")));
  const DiskSource volume{.type = SourceType::volume, .pool = "p", .volume = "v"};
  EXPECT_TRUE(remote.share(remote.identity(volume), remote.identity("/pools/p/v")));
  EXPECT_FALSE(remote.share({}, {}));
  // A volume of an rbd pool is the image that rbd: names.
  const HostStorage rbd(std::nullopt, [](const std::string& pool, const std::string& name) {
    return std::optional(pool + "/" + name);
  });
  DiskSource image{SourceType::network};
  image.protocol = "rbd";
  image.name = "p/v";
  EXPECT_TRUE(rbd.share(rbd.identity(volume), rbd.identity(image)));
}

}  // namespace
}  // namespace imgtool::virt
