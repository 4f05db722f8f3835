// All disks of all domains, with both halves of each domain: who uses which storage, and how.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/virt/domain_xml.hpp"
#include "imgtool/virt/host_storage.hpp"
#include "imgtool/virt/libvirt.hpp"

namespace imgtool::virt {

// A domain as it runs and as it is configured; either may be missing. One that is shut off may have
// a saved state, which its next start goes on from, whatever its configuration says.
struct DomainHalves {
  std::string name;
  std::string uuid;
  bool active = false;
  bool persistent = false;
  std::optional<DomainLayout> live;
  std::optional<DomainLayout> config;
  std::optional<DomainLayout> saved;
};
// How to be rid of the saved state of that domain.
std::string saved_state_advice(const std::string& domain);

// Throws LibvirtError.
DomainHalves read_halves(const Domain& domain);
// The disks of all domains. One that vanishes meanwhile is left out.
std::vector<DomainHalves> read_all_halves(const Connection& connection);

// The storage behind a connection, which outlives it. `scan`, when it was begun already, of this
// host; it is dropped when the connection leads to another one.
HostStorage host_of(const Connection& connection, std::optional<HostScan> scan = std::nullopt);

// A libvirt, and the storage of the host that it runs on: this host is looked at while libvirt
// answers, unless the URI says that it is another one.
class Site {
 public:
  Site(const std::optional<std::string>& uri, Access access);
  Site(const Site&) = delete;  // the storage asks the connection

 private:
  std::optional<HostScan> scan_;

 public:
  const Connection connection;
  const HostStorage host;
};

enum class Role : std::uint8_t {
  disk,     // what the guest is shown
  backing,  // an image below it, only read
  mirror,   // the other end of a block copy
  device,   // what goes with a device of the host that the guest has
};

// One image that one disk of one domain uses.
struct DiskUse {
  std::string domain;
  std::string target;
  Halves halves{};     // where
  bool saved = false;  // and in its saved state
  Role role = Role::disk;
  std::string label{};  // the image
  bool writes = false;
  bool shareable = false;
  Identity identity{};
  std::string device{};  // Role::device: which
};

struct AllUses {
  std::vector<DiskUse> uses;
  std::vector<std::string> notes;  // what could not be looked into
};

// Backing files are those that libvirt names and those that the images on this host name.
AllUses collect_uses(const std::vector<DomainHalves>& domains, const HostStorage& host);

// "the disk vdb of the domain web2 (running)".
std::string describe(const DiskUse& use);

// How a disk is going to be used.
struct IntendedUse {
  Identity identity;
  std::vector<Identity> chain;  // only read
  bool readonly = false;
  bool shared = false;
};

// Those uses that would change what the other reads. Two that only read bear each other, and so do
// two that say that they share, both with the image itself.
std::vector<DiskUse> find_conflicts(const IntendedUse& intended, const std::vector<DiskUse>& uses,
                                    const HostStorage& host);

}  // namespace imgtool::virt
