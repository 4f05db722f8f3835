#include "imgtool/jobs/edited_chain.hpp"

#include <algorithm>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/qcow2/header.hpp"
#include "formats/images/reference.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"
#include "io/task_group.hpp"

namespace imgtool {

std::vector<ChainLink> chain_below(const io::File& image,
                                   const std::optional<io::FileIdentity>& last) {
  formats::ReferenceChain chain;
  formats::FormattedFile at = chain.begin(image.reopened(), formats::Format::qcow2);
  std::vector<ChainLink> links;
  while (at.format == formats::Format::qcow2) {
    const auto header = formats::qcow2::read_header(at.file);
    if (header.backing_file.empty()) break;
    at = chain.open_next(at.file.path(), header.backing_file, header.backing_format);
    links.push_back({at.file.path(), at.format, at.file.status().identity});
    if (last && links.back().identity == *last) return links;
  }
  if (last) {
    throw io::Error::refusal(image.path(),
                             "does not lie over that base (imgtool info --backing-chain lists what "
                             "it lies over)");
  }
  return links;
}

void refuse_reference(const std::string& path, const std::string& name, bool allowed) {
  if (allowed) return;
  throw io::Error::refusal(
      path, fmt::format("needs its backing file '{}'; give --follow-references to open it", name));
}

std::unique_ptr<formats::Image> open_locked(io::Ring& ring, const io::File& file,
                                            formats::Format format, io::WorkerPool& workers,
                                            const std::vector<io::FileIdentity>& ours) {
  formats::OpenOptions open;
  open.format = format;
  open.follow_references = true;
  open.force_share = true;  // some of the locks are ours
  open.workers = &workers;
  auto image = formats::open_image(ring, file.reopened(), open);
  for (const io::File* opened : image->files()) {
    const io::FileIdentity identity = opened->status().identity;
    if (std::find(ours.begin(), ours.end(), identity) != ours.end()) continue;
    io::lock_image(*opened, io::ImageUse::reading);
  }
  return image;
}

void read_or_zeros(io::Ring& ring, io::Source& image, io::ByteRange range, io::Buffer buffer) {
  const io::ByteRange there = io::intersection(range, {0, *image.size()});
  if (!there.empty()) (void)io::run_task(ring, image.read(there, buffer));
  std::memset(buffer.bytes.data() + there.length, 0, range.length - there.length);
}

}  // namespace imgtool
