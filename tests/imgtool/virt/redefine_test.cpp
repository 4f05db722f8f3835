// The way to attach a disk where libvirt's driver has none: its test driver, in this process.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <unistd.h>

#include "imgtool/virt/attach_job.hpp"
#include "imgtool/virt/virt_report.hpp"
#include "io/error.hpp"

namespace imgtool::virt {
namespace {

using testing::HasSubstr;
using testing::Not;

// One domain that is shut off and one that runs, both with a password.
constexpr const char* node_xml = R"(<node>
  <domain type='test'><name>off &amp; on</name><memory>65536</memory>
    <os><type>hvm</type></os>
    <devices><graphics type='vnc' passwd='s&lt;cret'/></devices>
  </domain>
  <domain type='test'><name>other</name><memory>65536</memory><os><type>hvm</type></os></domain>
</node>)";

class Redefine : public testing::Test {
 protected:
  Redefine() {
    folder_ = std::filesystem::temp_directory_path() / ("redefine-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "node.xml") << node_xml;
    std::ofstream(folder_ / "a.img") << std::string(4096, 'a');
    std::ofstream(folder_ / "b.img") << std::string(4096, 'b');
    connection_.emplace("test://" + (folder_ / "node.xml").string(), Access::read_write);
    host_.emplace(host_of(*connection_));
  }
  ~Redefine() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }

  [[nodiscard]] AttachOptions options(const std::string& file) const {
    AttachOptions o;
    o.domain = "off & on";
    o.source = path(file);
    return o;
  }

  void attach(const AttachOptions& o) { AttachJob(*connection_, *host_, o).run(); }

  [[nodiscard]] std::string config(const std::string& name = "off & on") const {
    return connection_->domain(name).inactive_xml(true);
  }

  std::filesystem::path folder_;
  std::optional<Connection> connection_;
  std::optional<HostStorage> host_;
};

TEST_F(Redefine, AddsTheDiskAndKeepsThePassword) {
  attach(options("a.img"));
  EXPECT_THAT(config(), HasSubstr(path("a.img")));
  EXPECT_THAT(config(), HasSubstr("passwd='s&lt;cret'"));
  EXPECT_EQ(read_domain(config()).disks.size(), 1U);
  attach(options("b.img"));
  EXPECT_THAT(config(), HasSubstr("passwd='s&lt;cret'"));
  EXPECT_EQ(read_domain(config()).disks.size(), 2U);
}

TEST_F(Redefine, ARunningDomainSeesTheDiskAtItsNextStart) {
  const Domain domain = connection_->domain("off & on");
  if (!domain.is_active()) domain.start();
  AttachJob job(*connection_, *host_, options("a.img"));
  job.run();
  EXPECT_EQ(job.halves(), (Halves{false, true}));
  EXPECT_THAT(job.notes(), testing::Contains(HasSubstr("next start")));
  EXPECT_THAT(config(), HasSubstr(path("a.img")));
}

TEST_F(Redefine, IsNoWayIntoTheRunningGuest) {
  const Domain domain = connection_->domain("off & on");
  if (!domain.is_active()) domain.start();
  AttachOptions o = options("a.img");
  o.live = true;
  const std::string before = config();
  try {
    attach(o);
    FAIL() << "attached";
  } catch (const LibvirtError& error) {
    EXPECT_EQ(error.code(), error_code::no_support);
    EXPECT_THAT(error.what(), HasSubstr("(code 3)"));
  }
  EXPECT_EQ(config(), before);
}

TEST_F(Redefine, ConflictsAreSeenFirst) {
  attach(options("a.img"));
  AttachOptions second = options("a.img");
  second.domain = "other";
  EXPECT_THROW(attach(second), Conflict);
  EXPECT_THROW(attach(options("a.img")), Conflict);
  EXPECT_THAT(config("other"), Not(HasSubstr("a.img")));
}

TEST_F(Redefine, WhatIsThereIsFineWithIfAbsent) {
  AttachOptions o = options("a.img");
  o.if_absent = true;
  attach(o);
  const std::string before = config();
  AttachJob again(*connection_, *host_, o);
  again.run();
  EXPECT_TRUE(again.already_attached());
  EXPECT_EQ(config(), before);
}

TEST(Libvirt, SaysWhatWasWrongWithACode) {
  try {
    const Connection connection("test:///default", Access::read_only);
    (void)connection.domain("missing");
    FAIL() << "found";
  } catch (const LibvirtError& error) {
    EXPECT_EQ(error.code(), error_code::no_domain);
    EXPECT_STREQ(error.what(), "libvirt: Domain not found (code 42)");
  }
}

TEST(Libvirt, SaysInOneLineWhatQemuSaidInThree) {
  const LibvirtError error(1, 0, "internal error: qemu:\n\nno such host\nsorry\n");
  EXPECT_STREQ(error.what(), "libvirt: internal error: qemu:; no such host; sorry (code 1)");
  EXPECT_EQ(error.text(), "internal error: qemu:; no such host; sorry");
}

TEST(Libvirt, KnowsWhichUrisNameAHost) {
  for (const char* uri :
       {"qemu+ssh://root@host/system", "qemu://host/system", "test+tcp://h:1/x"}) {
    EXPECT_TRUE(names_host(uri)) << uri;
  }
  for (const char* uri : {"qemu:///system", "test:///default", "qemu+unix:///system?socket=/a//b",
                          "xen://", "lxc:"}) {
    EXPECT_FALSE(names_host(uri)) << uri;
  }
}

}  // namespace
}  // namespace imgtool::virt
