// The files below an image that is changed: found by the rules for names inside images, and held.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/format.hpp"
#include "formats/images/image.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/ring.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

// One backing file.
struct ChainLink {
  std::string path;
  formats::Format format = formats::Format::raw;
  io::FileIdentity identity;
};

// Those of the image at `path`, the nearest first, down to the one that is `last`, or to the end
// where that is not given. `image` is a qcow2 image. Opens each for a look, by the rules of
// formats::ReferenceChain. Throws io::Error; refused where `last` is not among them.
[[nodiscard]] std::vector<ChainLink> chain_below(const io::File& image,
                                                 const std::optional<io::FileIdentity>& last);

// Throws ErrorKind::refused unless `allowed`: `path` names its backing file `name`, which would
// have to be opened.
void refuse_reference(const std::string& path, const std::string& name, bool allowed);

// What an image whose locks are ours shows, with all that it names. Takes the locks of a reader on
// those of its files that are not in `ours`. All references outlive it. Throws io::Error.
[[nodiscard]] std::unique_ptr<formats::Image> open_locked(
    io::Ring& ring, const io::File& file, formats::Format format, io::WorkerPool& workers,
    const std::vector<io::FileIdentity>& ours);

// `range` of the image, in `buffer`, with zeros behind its end; blocks.
void read_or_zeros(io::Ring& ring, io::Source& image, io::ByteRange range, io::Buffer buffer);

}  // namespace imgtool
