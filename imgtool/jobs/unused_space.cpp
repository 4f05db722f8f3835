#include "imgtool/jobs/unused_space.hpp"

#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>

#include "imgtool/jobs/device_words.hpp"
#include "imgtool/terminal/signals.hpp"
#include "io/devices/device_usage.hpp"
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

// Held by something that the inventory does not know about: other mount namespaces, ZFS, drbd.
bool is_claimed(const std::string& path) {
  const io::FileDescriptor fd(open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
  return fd.get() < 0 && errno == EBUSY;
}

formats::InUse in_use(io::ByteRange range, const io::DeviceUse& use) {
  return {range, "is in use: " + phrase_of(use), remedy_of(use)};
}

// Whether all of `some` lies in `all`; both ascending, and those of `all` do not touch.
bool covers(const std::vector<io::ByteRange>& all, const std::vector<io::ByteRange>& some) {
  return std::all_of(some.begin(), some.end(), [&](const io::ByteRange& range) {
    const auto next = std::partition_point(
        all.begin(), all.end(), [&](const io::ByteRange& one) { return one.end() < range.end(); });
    return next != all.end() && next->offset <= range.offset;
  });
}

// The uses of a partition, or of a disk without any.
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
    found.push_back(
        {range, "is in use: another program holds " + device.path + " exclusively", ""});
  }
}

}  // namespace

UnusedSpace::UnusedSpace(io::Ring& ring, io::Source& disk, formats::FreeSpaceOptions options)
    : ring_(ring), disk_(disk), options_(std::move(options)) {
  // What stands in the witnesses before and after the look proves that it saw one state; where they
  // are a shorter look tells, since it keeps no more than the whole one.
  formats::FreeSpaceOptions shorter = options_;
  shorter.witnesses_only = true;
  formats::DiskView view(ring_, disk_, &stop_flag());
  const auto watched = formats::find_free_space(view, shorter).witnesses;
  const auto before = read_all(watched);
  formats::DiskView fresh(ring_, disk_, &stop_flag());
  found_ = formats::find_free_space(fresh, options_);
  witnesses_ = read_all(found_.witnesses);
  if (!covers(watched, found_.witnesses) || read_all(watched) != before) {
    throw io::Error(io::ErrorKind::system, disk_.name(), changed_text);
  }
}

std::unique_ptr<io::ZeroRanges> UnusedSpace::filter(io::Source& source, std::uint64_t grain) const {
  return std::make_unique<io::ZeroRanges>(source, found_.free, grain);
}

std::vector<std::vector<std::byte>> UnusedSpace::read_all(
    const std::vector<io::ByteRange>& ranges) {
  formats::DiskView view(ring_, disk_, &stop_flag());
  std::vector<std::vector<std::byte>> content;
  content.reserve(ranges.size());
  for (const io::ByteRange& range : ranges) {
    content.push_back(view.read(range.offset, range.length));
  }
  return content;
}

void UnusedSpace::check_unchanged() {
  if (read_all(found_.witnesses) != witnesses_) {
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
                                               const std::string& path, UnusedOptions wanted) {
  if (!source.seekable()) {
    throw io::Error(io::ErrorKind::unsupported, source.name(),
                    "is a stream: what is free in it cannot be known before it is read");
  }
  const io::DeviceInventory inventory;
  formats::FreeSpaceOptions options;
  options.trust_maps = wanted.trust_maps;
  if (wanted.drop_swap) options.discarded = formats::DiscardedContent::free;
  options.in_use = parts_in_use(inventory, path);
  if (const auto* device = inventory.find_path(path)) {
    options.sector_size = device->logical_sector_bytes;
  }
  return std::make_unique<UnusedSpace>(ring, source, std::move(options));
}

}  // namespace imgtool
