// The part of Opener that puts a disk together of the files that a descriptor of VMware's names.
#include <utility>

#include <fmt/format.h>

#include "formats/images/opener.hpp"
#include "formats/images/raw.hpp"
#include "formats/images/vmdk/header.hpp"
#include "formats/images/vmdk/map.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace formats {

std::unique_ptr<Image> Opener::open_parts(io::File file, const ImageBelow& below,
                                          PageCache page_cache) {
  const vmdk::Descriptor descriptor = vmdk::read_descriptor_file(file);
  if (!follows_references()) {
    throw io::Error::refusal(
        file.path(), fmt::format("names the {} files that hold its disk, the first '{}'; give "
                                 "--follow-references to open them",
                                 descriptor.extents.size(), descriptor.extents.front().file));
  }
  std::vector<ImagePart> parts;
  std::uint64_t begin = 0;
  for (const vmdk::ExtentLine& extent : descriptor.extents) {
    const std::uint64_t length = extent.sectors * vmdk::sector;
    if (length == 0) continue;
    ImageBelow behind = below;
    behind.offset = begin;
    parts.push_back(open_part(file.path(), extent, std::move(behind), page_cache));
    refuse_shared(file.path(), parts);
    begin += length;
  }
  if (parts.empty()) {
    throw io::Error::format(file.path(), 0, "the descriptor names no part that has a length");
  }
  return std::make_unique<JoinedImage>(ring_, Format::vmdk, std::move(file), std::move(parts));
}

void Opener::refuse_shared(const std::string& from, const std::vector<ImagePart>& parts) {
  const ImagePart& last = parts.back();
  if (!last.image) return;
  const io::FileIdentity identity = last.image->files().front()->status().identity;
  for (const ImagePart& part : parts) {
    if (&part == &last || !part.image ||
        part.image->files().front()->status().identity != identity) {
      continue;
    }
    const bool flat = part.image->format() == Format::raw && last.image->format() == Format::raw;
    const io::ByteRange here{part.offset, part.length};
    if (flat && io::intersection(here, {last.offset, last.length}).empty()) continue;
    throw io::Error::format(
        from, 0,
        fmt::format("names the same bytes of {} for two parts of the disk", last.image->name()));
  }
}

ImagePart Opener::open_part(const std::string& from, const vmdk::ExtentLine& extent,
                            ImageBelow below, PageCache page_cache) {
  ImagePart part{extent.sectors * vmdk::sector, nullptr, 0};
  if (extent.type == "zero") return part;
  const bool flat = extent.type == "flat" || extent.type == "vmfs";
  const bool sparse =
      extent.type == "sparse" || extent.type == "vmfssparse" || extent.type == "sesparse";
  if (!flat && !sparse) {
    throw io::Error::refusal(from, fmt::format("names a part of the type '{}', which is not in "
                                               "a file",
                                               extent.type));
  }
  auto file = std::make_unique<io::File>(chain_.open_beside(from, extent.file, Format::raw).file);
  if (!options_.force_share) {
    io::lock_image(*file, io::ImageUse::reading, options_.way_past_lock);
  }
  chain_.leave();
  if (sparse) {
    auto map = vmdk::open_extent_map(*file, extent);
    part.image =
        over_blocks(Format::vmdk, std::move(file), std::move(map), page_cache, std::move(below));
    return part;
  }
  const std::uint64_t size = file->size();
  if (extent.offset > size / vmdk::sector || part.length > size - extent.offset * vmdk::sector) {
    throw io::Error::format(file->path(), size,
                            fmt::format("ends here, and {} says that it has {} bytes of the "
                                        "disk from {} on: it was cut short",
                                        from, part.length, extent.offset * vmdk::sector));
  }
  part.offset = extent.offset * vmdk::sector;
  part.image = open_raw(std::move(*file), page_cache);
  return part;
}

}  // namespace formats
