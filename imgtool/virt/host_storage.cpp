#include "imgtool/virt/host_storage.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace imgtool::virt {

HostScan scan_host(io::SystemRoots roots) {
  return std::async(
      std::launch::async,
      [](io::SystemRoots where) -> std::unique_ptr<const HostSnapshot> {
        return std::make_unique<HostSnapshot>(std::move(where));
      },
      std::move(roots));
}

HostStorage::HostStorage(std::optional<HostScan> scan, VolumePath volume_path)
    : volume_path_(std::move(volume_path)), scan_(std::move(scan)) {}

const HostSnapshot& HostStorage::snapshot() const {
  if (!snapshot_) snapshot_ = scan_.value().get();
  return *snapshot_;
}

Identity HostStorage::identity(const std::string& path) const {
  Identity identity;
  identity.path = path;
  if (!remote() && path.starts_with('/')) {
    identity.file = usage().stack().identity(inventory().roots().in_dev(path));
  }
  // Not this host's, or not there: then only the spelling can be compared.
  if (!identity.file) identity.name = std::filesystem::path(path).lexically_normal().string();
  return identity;
}

Identity HostStorage::identity(const DiskSource& source) const {
  switch (source.type) {
    case SourceType::block:
    case SourceType::file:
      return identity(source.path);
    case SourceType::volume:
      if (const auto path = volume_path_(source.pool, source.volume)) {
        // A pool of rbd images has them as POOL/IMAGE.
        const bool is_name = !path->starts_with('/') && path->find("://") == std::string::npos;
        return is_name ? Identity{std::nullopt, "rbd:" + *path, ""} : identity(*path);
      }
      return {std::nullopt, "volume " + source.label(), ""};
    case SourceType::network:
      return {std::nullopt, source.network_identity(), ""};
    case SourceType::none:
    case SourceType::other:
      break;
  }
  return {};
}

bool HostStorage::share(const Identity& a, const Identity& b) const {
  if (!a.file || !b.file) return a.file == b.file && !a.name.empty() && a.name == b.name;
  if (*a.file == *b.file) return true;
  const auto& stack = usage().stack();
  const auto& roots = inventory().roots();
  return stack.below(roots.in_dev(a.path)).has(*b.file) ||
         stack.below(roots.in_dev(b.path)).has(*a.file);
}

std::vector<Identity> HostStorage::disks_on(const HostDevice& device) const {
  std::vector<Identity> disks;
  if (remote()) return disks;
  for (const io::BlockDevice& disk : inventory().devices()) {
    if (disk.parent.empty() && carries(device, disk)) {
      disks.push_back({io::FileIdentity{true, disk.number, 0}, "", disk.path});
    }
  }
  return disks;
}

LastingName HostStorage::lasting_name(const std::string& path) const {
  const std::string& dev = inventory().roots().dev;
  const io::BlockDevice* device = inventory().find_path(path);
  if (device == nullptr) return {path, false};
  const auto& links = device->links;
  const bool lasts = path.starts_with(dev + "/disk/by-") || path.starts_with(dev + "/mapper/") ||
                     std::find(links.begin(), links.end(), path) != links.end();
  if (lasts && path.find("/../") == std::string::npos) return {path, true};
  if (!links.empty()) return {links.front(), true};
  if (device->kind == io::DeviceKind::device_mapper) {
    throw io::Error::refusal(
        path, fmt::format("is {}, whose number changes, and there is no {}/mapper/{}: "
                          "dmsetup mknodes makes it",
                          device->name, dev, device->mapper.name));
  }
  return {device->path, false};
}

std::vector<io::DeviceUse> HostStorage::uses(const std::string& path) const {
  return usage().reasons_not_to_write(inventory().roots().in_dev(path));
}

bool HostStorage::only_reads(const io::DeviceUse& use) const {
  return std::any_of(use.stack.begin(), use.stack.end(), [&](const std::string& name) {
    const io::BlockDevice* device = inventory().find_path(name);
    return device != nullptr && device->read_only;
  });
}

bool locked_by_qemu(const std::string& path, bool for_writing) {
  const io::FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return false;
  return io::excluded_by_others(fd.get(),
                                for_writing ? io::ImageUse::writing : io::ImageUse::reading);
}

bool held_by_kernel(const std::string& path) {
  const io::FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK));
  return !fd && errno == EBUSY;
}

}  // namespace imgtool::virt
