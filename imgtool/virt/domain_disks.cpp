#include "imgtool/virt/domain_disks.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/images/facts.hpp"
#include "formats/images/reference.hpp"
#include "imgtool/terminal/shell_word.hpp"
#include "io/error.hpp"

namespace imgtool::virt {
namespace {

bool is_same_image(const DiskUse& a, const DiskUse& b) {
  return a.domain == b.domain && a.target == b.target && a.role == b.role &&
         a.identity.file == b.identity.file && a.identity.name == b.identity.name &&
         a.device == b.device;
}

class Collector {
 public:
  Collector(const HostStorage& host, AllUses& found) : host_(host), found_(found) {}

  void add_layout(const std::string& domain, const DomainLayout& layout, Halves half, bool saved) {
    for (const DomainDisk& disk : layout.disks) {
      DiskUse use{domain, disk.target, half, saved};
      use.shareable = disk.shareable;
      use.writes = !disk.readonly && disk.device != "cdrom";
      add(use, Role::disk, disk.image);
      use.writes = false;
      for (const ChainLink& link : disk.backing) add(use, Role::backing, link);
      add_chain_on_disk(use, disk.image);
      use.writes = true;
      for (const ChainLink& link : disk.mirror) {
        use.role = Role::mirror;
        add(use, Role::mirror, link);
        use.writes = false;  // what is below it
      }
    }
    for (const HostDevice& device : layout.host_devices) add_device(domain, device, half, saved);
  }

 private:
  void add_device(const std::string& domain, const HostDevice& device, Halves half, bool saved) {
    for (Identity& disk : host_.disks_on(device)) {
      DiskUse use{domain, device.target, half, saved, Role::device, disk.path, !device.readonly};
      use.shareable = device.shareable;
      use.device = device.label();
      use.identity = std::move(disk);
      add(std::move(use));
    }
  }

  void add(DiskUse use, Role role, const ChainLink& link) {
    if (link.source.type == SourceType::none) return;
    use.role = role;
    use.label = link.source.label();
    use.identity = host_.identity(link.source);
    add(std::move(use));
  }

  // Once for each image; most are in both halves.
  void add(DiskUse use) {
    for (DiskUse& known : found_.uses) {
      if (!is_same_image(known, use)) continue;
      known.halves.live = known.halves.live || use.halves.live;
      known.halves.config = known.halves.config || use.halves.config;
      known.saved = known.saved || use.saved;
      known.writes = known.writes || use.writes;
      known.shareable = known.shareable && use.shareable;
      return;
    }
    found_.uses.push_back(std::move(use));
  }

  // What the image names now: libvirt looks only when a domain starts.
  void add_chain_on_disk(DiskUse use, const ChainLink& image) {
    if (host_.remote() || image.format != "qcow2") return;
    const Identity identity = host_.identity(image.source);
    if (!identity.file) return;
    use.role = Role::backing;
    for (const std::string& path : chain_of(use, identity.path)) {
      use.label = path;
      use.identity = host_.identity(path);
      add(use);
    }
  }

  std::vector<std::string> chain_of(const DiskUse& use, const std::string& path) {
    std::vector<std::string> paths;
    try {
      const auto facts = formats::read_facts(path, formats::Format::qcow2, true);
      for (std::size_t index = 1; index < facts.size(); ++index) {
        paths.push_back(facts[index].path);
      }
    } catch (const io::Error& error) {
      const std::string note = fmt::format(
          "not checked: the backing files of the disk {} of the "
          "domain {}: {}",
          use.target, use.domain, error.what());
      auto& notes = found_.notes;
      if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
    }
    return paths;
  }

  const HostStorage& host_;
  AllUses& found_;
};

std::string_view where_text(const DiskUse& use) {
  if (use.halves.live) {
    return use.halves.config ? "running" : "running, not in its configuration";
  }
  if (!use.saved) return "in its configuration";
  return use.halves.config ? "in its configuration and in its saved state" : "in its saved state";
}

}  // namespace

HostStorage host_of(const Connection& connection, std::optional<HostScan> scan) {
  if (connection.is_remote()) {
    scan.reset();
  } else if (!scan) {
    scan = scan_host();
  }
  return {std::move(scan),
          [&connection](const std::string& pool,
                        const std::string& name) -> std::optional<std::string> {
            const auto found = connection.find_pool(pool);
            const auto volume =
                found && found->is_active() ? found->find_volume(name) : std::nullopt;
            return volume ? std::optional(volume->path()) : std::nullopt;
          }};
}

Site::Site(const std::optional<std::string>& uri, Access access)
    : scan_(may_be_this_host(uri) ? std::optional(scan_host()) : std::nullopt),
      connection(uri, access),
      host(host_of(connection, std::move(scan_))) {}

std::string saved_state_advice(const std::string& domain) {
  const std::string name = shell_word(domain);
  return fmt::format("virsh start {} goes on from it, virsh managedsave-remove {} gives it up",
                     name, name);
}

DomainHalves read_halves(const Domain& domain) {
  DomainHalves halves;
  halves.name = domain.name();
  halves.uuid = domain.uuid();
  halves.active = domain.is_active();
  halves.persistent = domain.is_persistent();
  if (halves.active) halves.live = read_domain(domain.live_xml());
  if (halves.persistent) halves.config = read_domain(domain.inactive_xml(false));
  if (halves.active) return halves;
  if (const auto saved = domain.saved_xml()) halves.saved = read_domain(*saved);
  return halves;
}

std::vector<DomainHalves> read_all_halves(const Connection& connection) {
  std::vector<DomainHalves> all;
  for (const Domain& domain : connection.domains()) {
    try {
      all.push_back(read_halves(domain));
    } catch (const LibvirtError& error) {
      if (error.code() != error_code::no_domain) throw;
    }
  }
  return all;
}

AllUses collect_uses(const std::vector<DomainHalves>& domains, const HostStorage& host) {
  AllUses found;
  Collector collector(host, found);
  for (const DomainHalves& domain : domains) {
    if (domain.live) collector.add_layout(domain.name, *domain.live, {.live = true}, false);
    if (domain.config) collector.add_layout(domain.name, *domain.config, {.config = true}, false);
    if (domain.saved) collector.add_layout(domain.name, *domain.saved, {}, true);
  }
  return found;
}

std::string describe(const DiskUse& use) {
  if (use.role == Role::device) {
    return fmt::format("on the {} that the domain {} ({}) has", use.device, use.domain,
                       where_text(use));
  }
  const std::string_view how = use.role == Role::backing ? "below the disk"
                               : use.role == Role::mirror
                                   ? "the copy that is being made of the disk"
                                   : "the disk";
  return fmt::format("{} {} of the domain {} ({})", how, use.target, use.domain, where_text(use));
}

std::vector<DiskUse> find_conflicts(const IntendedUse& intended, const std::vector<DiskUse>& uses,
                                    const HostStorage& host) {
  std::vector<DiskUse> conflicts;
  for (const DiskUse& use : uses) {
    const bool whole = use.role == Role::disk || use.role == Role::device;
    const bool both_share = intended.shared && use.shareable && whole;
    const bool both_read = intended.readonly && !use.writes;
    const bool touches = !both_share && !both_read && host.share(intended.identity, use.identity);
    const bool changes_chain =
        use.writes &&
        std::any_of(intended.chain.begin(), intended.chain.end(),
                    [&](const Identity& below) { return host.share(below, use.identity); });
    if (touches || changes_chain) conflicts.push_back(use);
  }
  return conflicts;
}

}  // namespace imgtool::virt
