#include "imgtool/unused_space.hpp"

#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>

#include "imgtool/signals.hpp"
#include "io/device_usage.hpp"
#include "io/digest.hpp"
#include "io/error.hpp"
#include "io/file.hpp"

namespace imgtool {
namespace {

constexpr const char* changed_text =
    "a file system on it was written to meanwhile, so what is free in it is not known any more; "
    "unmount or freeze it (fsfreeze), or keep the free space";

// Uses that change what is on the disk.
bool may_write(const io::DeviceUse& use) {
  return use.kind != io::DeviceUseKind::read_only && use.kind != io::DeviceUseKind::holds_image;
}

// Somebody the inventory does not know about has it: other mount namespaces, ZFS, drbd.
bool is_claimed(const std::string& path) {
  const io::FileDescriptor fd(open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
  return fd.get() < 0 && errno == EBUSY;
}

formats::InUse in_use(io::ByteRange range, const io::DeviceUse& use) {
  return {range, "is in use: " + use.phrase(), use.remedy};
}

// Of a partition, or of a disk without any.
void add_uses(const io::DeviceUsage& usage, const io::BlockDevice& device,
              std::vector<formats::InUse>& found) {
  const io::ByteRange range{device.parent.empty() ? 0 : device.start_bytes, device.size_bytes};
  for (const io::DeviceUse& use : usage.uses(device)) {
    if (may_write(use)) {
      found.push_back(in_use(range, use));
      return;
    }
  }
  if (is_claimed(device.path)) {
    found.push_back({range, "is in use: the kernel gives " + device.path + " to nobody else", ""});
  }
}

}  // namespace

UnusedSpace::UnusedSpace(io::Ring& ring, io::Source& disk, formats::FreeSpaceOptions options)
    : ring_(ring), disk_(disk), options_(std::move(options)) {
  // The witnesses are known after the first look only; the second proves that they are as old as
  // the map.
  formats::DiskView first(ring_, disk_, &stop_flag());
  found_ = formats::find_free_space(first, options_);
  witnesses_ = read_witnesses();
  formats::DiskView second(ring_, disk_, &stop_flag());
  const formats::FreeSpace again = formats::find_free_space(second, options_);
  if (again.free != found_.free || again.witnesses != found_.witnesses) {
    throw io::Error(io::ErrorKind::system, disk_.name(), changed_text);
  }
}

std::unique_ptr<io::ZeroRanges> UnusedSpace::filter(io::Source& source, std::uint64_t grain) const {
  return std::make_unique<io::ZeroRanges>(source, found_.free, grain);
}

std::vector<std::vector<std::byte>> UnusedSpace::read_witnesses() {
  formats::DiskView view(ring_, disk_, &stop_flag());
  std::vector<std::vector<std::byte>> content;
  content.reserve(found_.witnesses.size());
  for (const io::ByteRange& range : found_.witnesses) {
    content.push_back(view.read(range.offset, range.length));
  }
  return content;
}

void UnusedSpace::check_unchanged() {
  if (read_witnesses() != witnesses_) {
    throw io::Error(io::ErrorKind::system, disk_.name(), changed_text);
  }
}

std::string UnusedSpace::identity() const {
  io::Digest digest(io::DigestAlgorithm::xxh3);
  for (const io::ByteRange& range : found_.free) digest.update(std::as_bytes(std::span(&range, 1)));
  for (const auto& bytes : witnesses_) digest.update(bytes);
  return "without free space " + digest.hex();
}

std::vector<formats::InUse> parts_in_use(const io::DeviceInventory& inventory,
                                         const std::string& path) {
  const io::DeviceUsage usage(inventory);
  constexpr io::ByteRange everything{0, ~std::uint64_t{0}};
  std::vector<formats::InUse> found;
  const io::BlockDevice* device = inventory.find_path(path);
  if (device == nullptr || device->partitions.empty()) {
    for (const io::DeviceUse& use : usage.lasting_reasons_not_to_write(path)) {
      if (may_write(use)) {
        found.push_back(in_use(everything, use));
        return found;
      }
    }
    if (device != nullptr && is_claimed(device->path)) add_uses(usage, *device, found);
    return found;
  }
  for (const std::string& name : device->partitions) {
    if (const auto* partition = inventory.find_name(name)) add_uses(usage, *partition, found);
  }
  for (const io::DeviceUse& use : usage.lasting_reasons_not_to_write(path)) {
    if (use.kind == io::DeviceUseKind::open_for_writing) found.push_back(in_use(everything, use));
  }
  return found;
}

std::unique_ptr<UnusedSpace> find_unused_space(io::Ring& ring, io::Source& source,
                                               const std::string& path) {
  if (!source.seekable()) {
    throw io::Error(io::ErrorKind::unsupported, source.name(),
                    "is a stream: what is free in it cannot be known before it is read");
  }
  const io::DeviceInventory inventory;
  formats::FreeSpaceOptions options;
  options.in_use = parts_in_use(inventory, path);
  if (const auto* device = inventory.find_path(path)) {
    options.sector_size = device->logical_sector_bytes;
  }
  return std::make_unique<UnusedSpace>(ring, source, std::move(options));
}

}  // namespace imgtool
