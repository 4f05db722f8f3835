#include "formats/images/image.hpp"

#include <algorithm>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/block_formats.hpp"
#include "formats/images/block_image.hpp"
#include "formats/images/containers.hpp"
#include "formats/images/joined_image.hpp"
#include "formats/images/probe.hpp"
#include "formats/images/qcow2/reader.hpp"
#include "formats/images/raw.hpp"
#include "formats/images/reference.hpp"
#include "formats/images/simg/image.hpp"
#include "formats/images/simg/split_image.hpp"
#include "formats/images/vmdk/header.hpp"
#include "formats/images/vmdk/map.hpp"
#include "formats/images/vmdk/stream.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace formats {
namespace {

// Opens an image and, where that is allowed, what it names.
class Opener {
 public:
  Opener(io::Ring& ring, const OpenOptions& options) : ring_(ring), options_(options) {}

  std::unique_ptr<Image> open(io::File file) {
    const std::string path = file.path();
    auto image = open_as(chain_.begin(std::move(file), options_.format), options_.snapshot,
                         options_.page_cache);
    containers_.check_member_was_found(path);
    return image;
  }

  std::unique_ptr<Image> open_pipe(io::File pipe, Format format, std::vector<std::byte> start) {
    const std::string path = pipe.path();
    auto image = containers_.open_pipe(std::move(pipe), format, std::move(start));
    containers_.check_member_was_found(path);
    return image;
  }

 private:
  std::unique_ptr<Image> open_as(FormattedFile opened, const std::string& snapshot,
                                 PageCache page_cache) {
    if (!options_.force_share) {
      io::lock_image(opened.file, io::ImageUse::reading, options_.way_past_lock);
    }
    if (opened.format == Format::qcow2) {
      return open_qcow2(std::move(opened.file), snapshot, page_cache);
    }
    if (is_archive(opened.format) || is_stream(opened.format)) {
      return containers_.open(std::move(opened.file), opened.format);
    }
    if (!snapshot.empty()) {
      throw io::Error(io::ErrorKind::format, opened.file.path(),
                      fmt::format("is {}, and has no snapshots", name_of(opened.format)));
    }
    if (opened.format == Format::simg) {
      return open_simg(std::move(opened.file));
    }
    if (is_block_format(opened.format)) return open_blocks(std::move(opened), page_cache);
    return open_raw(std::move(opened.file), page_cache);
  }

  // All of its parts, where it is the first of several.
  std::unique_ptr<Image> open_simg(io::File file) {
    const std::string path = file.path();
    std::vector<std::unique_ptr<simg::SimgImage>> parts;
    parts.push_back(std::make_unique<simg::SimgImage>(ring_, std::move(file), options_));
    const auto further =
        in_container_ || options_.format ? std::vector<std::string>() : simg::further_parts(path);
    for (const std::string& name : further) {
      FormattedFile part{io::File(name, O_RDONLY)};
      if (probe(part.file) != Format::simg) break;
      if (!options_.force_share) {
        io::lock_image(part.file, io::ImageUse::reading, options_.way_past_lock);
      }
      parts.push_back(std::make_unique<simg::SimgImage>(ring_, std::move(part.file), options_));
    }
    if (parts.size() == 1) return std::move(parts.front());
    return std::make_unique<simg::SplitImage>(std::move(parts));
  }

  std::unique_ptr<Image> open_qcow2(io::File file, const std::string& snapshot,
                                    PageCache page_cache) {
    qcow2::ReaderOptions options;
    options.layout_only = options_.layout_only;
    options.snapshot = snapshot;
    options.workers = options_.workers;
    options.direct = page_cache != PageCache::used && !file.mostly_cached();
    if (follows_references()) {
      options.open_reference = [this, from = file.path()](const std::string& name,
                                                          const std::string& stated_format) {
        auto image = open_as(chain_.open_next(from, name, stated_format), {}, PageCache::used);
        chain_.leave();
        return image;
      };
    }
    return std::make_unique<qcow2::Qcow2Image>(ring_, std::move(file), options);
  }

  std::unique_ptr<Image> open_blocks(FormattedFile opened, PageCache page_cache) {
    ImageBelow below = open_below(opened);
    if (opened.format == Format::vmdk && vmdk::is_descriptor(opened.file)) {
      return open_parts(std::move(opened.file), below, page_cache);
    }
    auto file = std::make_unique<io::File>(std::move(opened.file));
    auto map = open_block_map(*file, opened.format);
    return over_blocks(opened.format, std::move(file), std::move(map), page_cache,
                       std::move(below));
  }

  std::unique_ptr<Image> over_blocks(Format format, std::unique_ptr<io::File> file,
                                     std::unique_ptr<BlockMap> map, PageCache page_cache,
                                     ImageBelow below) {
    const bool direct = page_cache != PageCache::used && !file->mostly_cached();
    return std::make_unique<BlockImage>(ring_, format, std::move(file), std::move(map), direct,
                                        options_.workers, std::move(below));
  }

  // What the image lies over, if it lies over anything.
  ImageBelow open_below(const FormattedFile& above) {
    const auto parent = parent_of(above.file, above.format);
    if (!parent) return {};
    const std::string& from = above.file.path();
    if (!follows_references()) {
      if (options_.layout_only) return {.left_out = true};
      throw io::Error::refusal(from, fmt::format("needs its parent '{}'; give --follow-references "
                                                 "to open it",
                                                 parent->name));
    }
    FormattedFile next = open_parent(from, *parent);
    if (!parent->identities.empty()) check_identity(from, *parent, next);
    ImageBelow below{open_as(std::move(next), {}, PageCache::used)};
    chain_.leave();
    return below;
  }

  FormattedFile open_parent(const std::string& from, const ParentReference& parent) {
    if (!parent.beside) {
      const auto stated = parent.format ? name_of(*parent.format) : std::string_view();
      return chain_.open_next(from, parent.name, std::string(stated));
    }
    const std::size_t folders = parent.name.find_last_of("/\\");
    return chain_.open_beside(from, parent.name.substr(folders + 1),
                              parent.format.value_or(Format::raw));
  }

  static void check_identity(const std::string& from, const ParentReference& parent,
                             const FormattedFile& found) {
    const std::string identity = identity_of(found.file, found.format);
    const auto& wanted = parent.identities;
    if (std::find(wanted.begin(), wanted.end(), identity) != wanted.end()) return;
    throw io::Error(
        io::ErrorKind::mismatch, from,
        fmt::format("was made over a disk with the identity {}, and {} has {}: it was changed, or "
                    "is another one",
                    wanted.front(), found.file.path(), identity));
  }

  // --- a disk that a descriptor makes of several files ---

  std::unique_ptr<Image> open_parts(io::File file, const ImageBelow& below, PageCache page_cache) {
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

  // The last part has bytes of its own: else a short text could say that a file's content is there
  // thousands of times.
  static void refuse_shared(const std::string& from, const std::vector<ImagePart>& parts) {
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

  ImagePart open_part(const std::string& from, const vmdk::ExtentLine& extent, ImageBelow below,
                      PageCache page_cache) {
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

  std::unique_ptr<Image> open_raw(io::File file, PageCache page_cache) {
    const bool past_cache = page_cache == PageCache::bypassed ||
                            (page_cache == PageCache::used_if_warm && !file.mostly_cached());
    return std::make_unique<RawImage>(ring_, std::move(file), past_cache);
  }

  [[nodiscard]] bool follows_references() const {
    return options_.follow_references && !in_container_;
  }

  // What a container holds. Its names of other files mean nothing: there is no folder around it.
  std::unique_ptr<Image> open_contained(io::File file) {
    in_container_ = true;
    return open_as(chain_.begin(std::move(file), std::nullopt), options_.snapshot, PageCache::used);
  }

  io::Ring& ring_;
  const OpenOptions& options_;
  ReferenceChain chain_;
  bool in_container_ = false;
  Containers containers_{ring_, options_,
                         [this](io::File file) { return open_contained(std::move(file)); }};
};

}  // namespace

std::unique_ptr<Image> open_image(io::Ring& ring, const std::string& path,
                                  const OpenOptions& options) {
  return open_image(ring, io::File(path, O_RDONLY), options);
}

std::unique_ptr<Image> open_image(io::Ring& ring, io::File file, const OpenOptions& options) {
  return Opener(ring, options).open(std::move(file));
}

std::unique_ptr<Image> open_stream(io::Ring& ring, io::File pipe, Format format,
                                   std::vector<std::byte> start, const OpenOptions& options) {
  return Opener(ring, options).open_pipe(std::move(pipe), format, std::move(start));
}

bool can_come_through_pipe(Format format, std::span<const std::byte> start) {
  return is_stream(format) || is_archive(format) ||
         (format == Format::vmdk && vmdk::is_stream(start));
}

}  // namespace formats
