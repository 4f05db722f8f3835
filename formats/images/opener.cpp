#include "formats/images/opener.hpp"

#include <algorithm>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/block_formats.hpp"
#include "formats/images/probe.hpp"
#include "formats/images/qcow2/reader.hpp"
#include "formats/images/raw.hpp"
#include "formats/images/simg/image.hpp"
#include "formats/images/simg/split_image.hpp"
#include "formats/images/vmdk/header.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace formats {

std::unique_ptr<Image> Opener::open(io::File file) {
  const std::string path = file.path();
  auto image = open_as(chain_.begin(std::move(file), options_.format), options_.snapshot,
                       options_.page_cache);
  containers_.check_member_was_found(path);
  return image;
}

std::unique_ptr<Image> Opener::open_pipe(io::File pipe, Format format,
                                         std::vector<std::byte> start) {
  const std::string path = pipe.path();
  auto image = containers_.open_pipe(std::move(pipe), format, std::move(start));
  containers_.check_member_was_found(path);
  return image;
}

std::unique_ptr<Image> Opener::open_as(FormattedFile opened, const std::string& snapshot,
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

std::unique_ptr<Image> Opener::open_simg(io::File file) {
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

std::unique_ptr<Image> Opener::open_qcow2(io::File file, const std::string& snapshot,
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

std::unique_ptr<Image> Opener::open_blocks(FormattedFile opened, PageCache page_cache) {
  ImageBelow below = open_below(opened);
  if (opened.format == Format::vmdk && vmdk::is_descriptor(opened.file)) {
    return open_parts(std::move(opened.file), below, page_cache);
  }
  auto file = std::make_unique<io::File>(std::move(opened.file));
  auto map = open_block_map(*file, opened.format);
  return over_blocks(opened.format, std::move(file), std::move(map), page_cache, std::move(below));
}

std::unique_ptr<Image> Opener::over_blocks(Format format, std::unique_ptr<io::File> file,
                                           std::unique_ptr<BlockMap> map, PageCache page_cache,
                                           ImageBelow below) {
  const bool direct = page_cache != PageCache::used && !file->mostly_cached();
  return std::make_unique<BlockImage>(ring_, format, std::move(file), std::move(map), direct,
                                      options_.workers, std::move(below));
}

std::unique_ptr<Image> Opener::open_raw(io::File file, PageCache page_cache) {
  const bool past_cache = page_cache == PageCache::bypassed ||
                          (page_cache == PageCache::used_if_warm && !file.mostly_cached());
  return std::make_unique<RawImage>(ring_, std::move(file), past_cache);
}

// --- what it names ----------------------------------------------------------------------------

ImageBelow Opener::open_below(const FormattedFile& above) {
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

FormattedFile Opener::open_parent(const std::string& from, const ParentReference& parent) {
  if (!parent.beside) {
    const auto stated = parent.format ? name_of(*parent.format) : std::string_view();
    return chain_.open_next(from, parent.name, std::string(stated));
  }
  const std::size_t folders = parent.name.find_last_of("/\\");
  return chain_.open_beside(from, parent.name.substr(folders + 1),
                            parent.format.value_or(Format::raw));
}

void Opener::check_identity(const std::string& from, const ParentReference& parent,
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

bool Opener::follows_references() const { return options_.follow_references && !in_container_; }

std::unique_ptr<Image> Opener::open_contained(io::File file, std::optional<Format> format) {
  in_container_ = true;
  return open_as(chain_.begin(std::move(file), format), options_.snapshot, PageCache::used);
}

}  // namespace formats
