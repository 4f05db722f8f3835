// How the commands that talk to libvirt fail: in libvirt's words, with its code.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/cli/options.hpp"
#include "imgtool/virt/domain_disks.hpp"
#include "io/error.hpp"

namespace imgtool::virt {

// A disk that others use: which, and where. ErrorKind::refused.
class Conflict : public io::Error {
 public:
  Conflict(const std::string& path, std::vector<DiskUse> uses, const std::string& advice);
  [[nodiscard]] const std::vector<DiskUse>& uses() const noexcept { return uses_; }

 private:
  std::vector<DiskUse> uses_;
};

// Runs `work`, and reports what it throws. With `json` the document's "error" also has libvirt's
// "code", "domain" and "hint", or the list of "conflicts". `refused`: the exit code of a refusal.
int run_reporting(bool json, int refused, const std::function<int()>& work);

// -c, as virsh has it.
void connect_option(CommandLine& line, std::optional<std::string>& uri);

// --domain and its older spelling, and the one word that both stand for.
struct DomainName {
  std::string domain;
  std::string kvm;
  // Throws UsageError when none is given, or two.
  [[nodiscard]] const std::string& get(const std::string& command) const;
};
void domain_option(CommandLine& line, DomainName& name);

// One line on standard error for each, "note: ...".
void print_notes(const std::vector<std::string>& notes);

}  // namespace imgtool::virt
