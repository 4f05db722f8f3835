#include "imgtool/reports/host_report.hpp"

#include <array>

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/table.hpp"

namespace imgtool {
namespace {

struct Words {
  std::string_view needed_for;
  std::string_view remedy;
};

// In the order of HostFeature.
constexpr std::array<Words, 10> words{{
    {"speed: without it threads do the same work",
     "Linux 5.6 or newer, not forbidden by a container's seccomp profile or "
     "kernel.io_uring_disabled"},
    {"reads and writes past the page cache",
     "a folder on a local file system (ext4, XFS, btrfs), by --folder"},
    {"keeping off images that virtual machines use",
     "a file system with locks: of NFS mount it without nolock"},
    {"new images, and what is unpacked", "free some space, or choose another --folder"},
    {"speed of shrink and sparsify: without it their machine is emulated",
     "turn virtualization on in the firmware, modprobe kvm_intel or kvm_amd, and join the group "
     "kvm"},
    {"shrink and sparsify", "apt install qemu-system-x86, or dnf install qemu-kvm"},
    {"shrink and sparsify", "apt install libguestfs0, or dnf install libguestfs"},
    {"shrink and sparsify, unless a fixed appliance is used",
     "apt install linux-image-cloud-amd64; where only root may read it: chmod 0644 "
     "/boot/vmlinuz-*"},
    {"shrink and sparsify", "install imgtool-guest beside imgtool, and libguestfs"},
    {"attach, detach, disks, domains and upload",
     "install imgtool-virt beside imgtool and libvirt, and start libvirtd (or virtqemud)"},
}};

const Words& words_of(HostFeature feature) { return words.at(static_cast<std::size_t>(feature)); }

std::string name_of(HostFeature feature) {
  return host_feature_names().at(static_cast<std::size_t>(feature));
}

}  // namespace

std::string host_table(const std::vector<HostFinding>& findings) {
  Table table({{"FEATURE"}, {"WORKS"}, {"NEEDED FOR"}});
  for (const HostFinding& finding : findings) {
    table.add({name_of(finding.feature), finding.works ? "yes" : "no",
               std::string(words_of(finding.feature).needed_for)});
  }
  std::string text;
  for (const std::string& line : table.lines(std::nullopt)) text += line + "\n";
  for (const HostFinding& finding : findings) {
    if (finding.works) continue;
    text += fmt::format("\n{}: {}\n  {}\n", name_of(finding.feature), terminal_text(finding.found),
                        words_of(finding.feature).remedy);
  }
  return text;
}

Json host_document(const std::vector<HostFinding>& findings) {
  auto features = Json::array();
  for (const HostFinding& finding : findings) {
    const Words& about = words_of(finding.feature);
    features.push_back({{"name", name_of(finding.feature)},
                        {"works", finding.works},
                        {"needed-for", about.needed_for},
                        {"found", finding.found},
                        {"remedy", finding.works ? Json() : Json(about.remedy)}});
  }
  return {{"features", std::move(features)}};
}

}  // namespace imgtool
