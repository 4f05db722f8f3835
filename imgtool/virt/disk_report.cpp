#include "imgtool/virt/disk_report.hpp"

#include "imgtool/terminal/json.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include "formats/images/facts.hpp"
#include "io/error.hpp"

namespace imgtool::virt {
namespace {

// --- looking ------------------------------------------------------------------------------

void look_at(ImageReport& report, const std::string& path) {
  try {
    const auto facts = formats::read_facts(path, std::nullopt, false);
    report.content = name_of(facts.front().format);
    report.size = facts.front().virtual_size;
    report.allocated = facts.front().allocated_size;
  } catch (const io::Error& error) {
    report.problem = error.what();
    report.no_image = error.kind() == io::ErrorKind::unsupported;
  }
}

ImageReport report_image(const ChainLink& link, const HostStorage& host) {
  ImageReport report;
  report.label = link.source.label();
  report.format = link.format;
  const Identity identity = host.identity(link.source);
  report.file = identity.file;
  if (identity.file) {
    look_at(report, identity.path);
  } else if (!host.remote() && !identity.path.empty()) {
    report.problem = "does not exist";
  }
  return report;
}

// Below an image that is not in use libvirt says nothing, but the image does.
void add_chain_of_image(std::vector<ImageReport>& chain, const std::string& path,
                        const HostStorage& host) {
  try {
    const auto facts = formats::read_facts(path, formats::Format::qcow2, true);
    for (std::size_t index = 1; index < facts.size(); ++index) {
      ImageReport image;
      image.label = facts[index].path;
      image.format = name_of(facts[index].format);
      image.content = image.format;
      image.size = facts[index].virtual_size;
      image.allocated = facts[index].allocated_size;
      image.file = host.identity(image.label).file;
      chain.push_back(std::move(image));
    }
  } catch (const io::Error& error) {
    chain.front().problem = error.what();
  }
}

HalfReport report_half(const DomainDisk& disk, const HostStorage& host) {
  HalfReport half{disk, {}};
  if (disk.image.source.type == SourceType::none) return half;
  half.chain.push_back(report_image(disk.image, host));
  if (!disk.backing.empty()) {
    for (const ChainLink& link : disk.backing) half.chain.push_back(report_image(link, host));
  } else if (disk.image.format == "qcow2" && half.chain.front().content == "qcow2") {
    add_chain_of_image(half.chain, host.identity(disk.image.source).path, host);
  }
  return half;
}

// --- comparing ----------------------------------------------------------------------------

std::vector<std::string> differences_of(const DiskReport& report, const HostStorage& host) {
  const DomainDisk& live = report.live->disk;
  const DomainDisk& config = report.config->disk;
  const Identity a = host.identity(live.image.source);
  const Identity b = host.identity(config.image.source);
  std::vector<std::string> found;
  const auto compare = [&](bool same, const char* what) {
    if (!same) found.emplace_back(what);
  };
  compare(a.file == b.file && a.name == b.name, "source");
  compare(live.image.format == config.image.format, "format");
  compare(live.bus == config.bus, "bus");
  compare(live.serial == config.serial, "serial");
  compare(live.readonly == config.readonly, "readonly");
  compare(live.shareable == config.shareable, "shared");
  compare(live.cache == config.cache, "cache");
  compare(live.io == config.io, "io");
  return found;
}

std::vector<std::string> targets_of(const DomainHalves& halves) {
  std::vector<std::string> targets;
  for (const auto* half : {&halves.live, &halves.config}) {
    if (!*half) continue;
    for (const DomainDisk& disk : (*half)->disks) {
      if (std::find(targets.begin(), targets.end(), disk.target) == targets.end()) {
        targets.push_back(disk.target);
      }
    }
  }
  return targets;
}

DiskReport report_disk(const DomainHalves& halves, const std::string& target,
                       const HostStorage& host) {
  DiskReport report;
  report.target = target;
  const auto half = [&](const std::optional<DomainLayout>& layout) -> std::optional<HalfReport> {
    const DomainDisk* disk = layout ? layout->find_target(target) : nullptr;
    if (disk == nullptr) return std::nullopt;
    return report_half(*disk, host);
  };
  report.live = half(halves.live);
  report.config = half(halves.config);
  if (!halves.live || !halves.config) return report;
  if (!report.config) {
    report.differences.emplace_back("only in the running guest");
  } else if (!report.live) {
    report.differences.emplace_back("only in the configuration");
  } else {
    report.differences = differences_of(report, host);
  }
  return report;
}

// Where this host cannot look, libvirt's own numbers. libvirtd would open a pipe, and hang.
void ask_libvirt_for_sizes(const Domain& domain, DiskReport& report) {
  for (auto* half : {&report.live, &report.config}) {
    if (!*half || (*half)->chain.empty()) continue;
    ImageReport& image = (*half)->chain.front();
    if (image.size || image.no_image) continue;
    const auto size = domain.block_size(report.target);
    if (!size) continue;
    image.size = size->capacity;
    image.allocated = size->allocation;
  }
}

// --- telling ------------------------------------------------------------------------------

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json number_or_null(const std::optional<std::uint64_t>& number) {
  return number ? Json(*number) : Json();
}

std::string number_of(dev_t device) { return fmt::format("{}:{}", major(device), minor(device)); }

Json identity_json(const std::optional<io::FileIdentity>& file) {
  if (!file) return {};
  if (file->block_device) return {{"device", number_of(file->device)}};
  return {{"file-system", number_of(file->device)}, {"inode", file->inode}};
}

Json image_json(const ImageReport& image) {
  return {{"path", image.label},
          {"format", text_or_null(image.format)},
          {"content", text_or_null(image.content)},
          {"virtual-size", number_or_null(image.size)},
          {"actual-size", number_or_null(image.allocated)},
          {"identity", identity_json(image.file)},
          {"problem", text_or_null(image.problem)}};
}

Json half_json(const std::optional<HalfReport>& half) {
  if (!half) return {};
  Json chain = Json::array();
  for (const ImageReport& image : half->chain) chain.push_back(image_json(image));
  const DomainDisk& disk = half->disk;
  Json mirror = Json::array();
  for (const ChainLink& link : disk.mirror) mirror.push_back(link.source.label());
  return {{"source", text_or_null(disk.image.source.label())},
          {"type", to_string(disk.image.source.type)},
          {"device", disk.device},
          {"bus", disk.bus},
          {"format", text_or_null(disk.image.format)},
          {"serial", text_or_null(disk.serial)},
          {"readonly", disk.readonly},
          {"shared", disk.shareable},
          {"cache", text_or_null(disk.cache)},
          {"io", text_or_null(disk.io)},
          {"chain", std::move(chain)},
          {"mirror", std::move(mirror)}};
}

}  // namespace

DomainReport report_domain(const Domain& domain, const HostStorage& host) {
  DomainReport report;
  report.halves = read_halves(domain);
  report.state = domain.state();
  for (const std::string& target : targets_of(report.halves)) {
    DiskReport disk = report_disk(report.halves, target, host);
    ask_libvirt_for_sizes(domain, disk);
    report.disks.push_back(std::move(disk));
  }
  return report;
}

std::vector<DomainReport> report_domains(const Connection& connection, const HostStorage& host,
                                         const std::optional<std::string>& name) {
  std::vector<DomainReport> reports;
  if (name) {
    reports.push_back(report_domain(connection.domain(*name), host));
    return reports;
  }
  for (const Domain& domain : connection.domains()) {
    try {
      reports.push_back(report_domain(domain, host));
    } catch (const LibvirtError& error) {
      if (error.code() != error_code::no_domain) throw;  // it went away meanwhile
    }
  }
  return reports;
}

Json domain_json(const DomainReport& report) {
  Json disks = Json::array();
  for (const DiskReport& disk : report.disks) {
    disks.push_back({{"target", disk.target},
                     {"differs", !disk.differences.empty()},
                     {"differences", disk.differences},
                     {"live", half_json(disk.live)},
                     {"config", half_json(disk.config)}});
  }
  return {{"name", report.halves.name},
          {"uuid", report.halves.uuid},
          {"state", to_string(report.state)},
          {"active", report.halves.active},
          {"persistent", report.halves.persistent},
          {"disks", std::move(disks)}};
}

}  // namespace imgtool::virt
