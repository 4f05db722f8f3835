// What `disks` and `domains` say about domains and their disks.
#pragma once

#include <string>
#include <vector>

#include "imgtool/terminal/json.hpp"
#include "imgtool/virt/domain_disks.hpp"

namespace imgtool::virt {

// One image of a chain, looked at as far as it can be.
struct ImageReport {
  std::string label;
  std::string format;                      // as libvirt was told
  std::string content;                     // as the content says; "" when it was not read
  std::optional<std::uint64_t> size;       // of the guest's disk
  std::optional<std::uint64_t> allocated;  // what it takes
  std::optional<io::FileIdentity> file;
  std::string problem;    // why it could not be looked at
  bool no_image = false;  // neither file nor disk: opening it may wait for ever
};

// A disk in one half of a domain.
struct HalfReport {
  DomainDisk disk;
  std::vector<ImageReport> chain;  // the image, then what is below it
};

// A target with both of its halves.
struct DiskReport {
  std::string target;
  std::optional<HalfReport> live;
  std::optional<HalfReport> config;
  std::vector<std::string> differences;  // "source", "format" ..., or "only in the guest"

  [[nodiscard]] const HalfReport& any() const { return live ? *live : *config; }
};

struct DomainReport {
  DomainHalves halves;
  DomainState state = DomainState::none;
  std::vector<DiskReport> disks;
};

// Throws LibvirtError.
DomainReport report_domain(const Domain& domain, const HostStorage& host);

// The disks of the domain with this name, or of all.
std::vector<DomainReport> report_domains(const Connection& connection, const HostStorage& host,
                                         const std::optional<std::string>& name);

Json domain_json(const DomainReport& report);

}  // namespace imgtool::virt
