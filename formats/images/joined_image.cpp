#include "formats/images/joined_image.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "formats/images/read_plan.hpp"

namespace formats {

JoinedImage::JoinedImage(io::Ring& ring, Format format, io::File descriptor,
                         std::vector<ImagePart> parts)
    : ring_(ring), format_(format), descriptor_(std::move(descriptor)), parts_(std::move(parts)) {
  begins_.push_back(0);
  for (const ImagePart& part : parts_) begins_.push_back(begins_.back() + part.length);
}

std::size_t JoinedImage::part_at(std::uint64_t offset) const {
  const auto behind = std::upper_bound(begins_.begin(), begins_.end(), offset);
  return static_cast<std::size_t>(behind - begins_.begin()) - 1;
}

io::Extent JoinedImage::extent_at(std::uint64_t offset) {
  const std::size_t index = part_at(offset);
  const ImagePart& part = parts_[index];
  const std::uint64_t rest = begins_[index + 1] - offset;
  if (!part.image) return {{offset, rest}, io::ExtentKind::zero};
  io::Extent extent = part.image->extent_at(part.offset + (offset - begins_[index]));
  extent.range = {offset, std::min(extent.range.length, rest)};
  return extent;
}

Placement JoinedImage::placement_at(std::uint64_t offset) {
  const std::size_t index = part_at(offset);
  const ImagePart& part = parts_[index];
  const std::uint64_t rest = begins_[index + 1] - offset;
  Placement placement;
  if (part.image) {
    placement = part.image->placement_at(part.offset + (offset - begins_[index]));
  } else {
    placement.present = placement.zero = true;
    placement.range.length = rest;
  }
  placement.range = {offset, std::min(placement.range.length, rest)};
  return placement;
}

io::Task<std::size_t> JoinedImage::read(io::ByteRange range, io::Buffer buffer) {
  ReadPlan plan;
  for (std::uint64_t at = range.offset; at < range.end();) {
    const std::size_t index = part_at(at);
    const ImagePart& part = parts_[index];
    const std::uint64_t length = std::min(range.end(), begins_[index + 1]) - at;
    const io::Buffer out = buffer.subspan(at - range.offset, length);
    if (part.image) {
      plan.add(*part.image, {part.offset + (at - begins_[index]), length}, out);
    } else {
      std::memset(out.bytes.data(), 0, out.bytes.size());
    }
    at += length;
  }
  const ReadPlan::Decode nothing_packed = [](const PackedBlock&, std::span<const std::byte>) {};
  co_await plan.carry_out(ring_, nullptr, nothing_packed);
  co_return range.length;
}

std::uint64_t JoinedImage::cluster_size() const {
  std::uint64_t size = 0;
  for (std::size_t index = 0; index < parts_.size(); ++index) {
    if (!parts_[index].image) continue;
    const std::uint64_t own = parts_[index].image->cluster_size();
    if ((size != 0 && own != size) || begins_[index] % own != 0) return 1;
    size = own;
  }
  return std::max<std::uint64_t>(size, 1);
}

std::vector<const io::File*> JoinedImage::files() const {
  std::vector<const io::File*> all = {&descriptor_};
  for (const ImagePart& part : parts_) {
    if (!part.image) continue;
    for (const io::File* file : part.image->files()) {
      if (std::find(all.begin(), all.end(), file) == all.end()) all.push_back(file);
    }
  }
  return all;
}

}  // namespace formats
