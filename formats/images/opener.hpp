// Opens an image of any format and, where that is allowed, what it names: parents, backing files,
// the parts of a VMware disk, what a container holds. Used through formats/images/image.hpp.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/block_image.hpp"
#include "formats/images/containers.hpp"
#include "formats/images/image.hpp"
#include "formats/images/joined_image.hpp"
#include "formats/images/parent.hpp"
#include "formats/images/reference.hpp"
#include "formats/images/vmdk/descriptor.hpp"
#include "io/file.hpp"

namespace formats {

class Opener {
 public:
  // `ring` and `options` outlive it; it opens one image.
  Opener(io::Ring& ring, const OpenOptions& options) : ring_(ring), options_(options) {}

  // Both throw Error, as open_image() and open_stream() do.
  std::unique_ptr<Image> open(io::File file);
  std::unique_ptr<Image> open_pipe(io::File pipe, Format format, std::vector<std::byte> start);

 private:
  std::unique_ptr<Image> open_as(FormattedFile opened, const std::string& snapshot,
                                 PageCache page_cache);
  // All of its parts, where it is the first of several.
  std::unique_ptr<Image> open_simg(io::File file);
  std::unique_ptr<Image> open_qcow2(io::File file, const std::string& snapshot,
                                    PageCache page_cache);
  std::unique_ptr<Image> open_blocks(FormattedFile opened, PageCache page_cache);
  std::unique_ptr<Image> over_blocks(Format format, std::unique_ptr<io::File> file,
                                     std::unique_ptr<BlockMap> map, PageCache page_cache,
                                     ImageBelow below);
  std::unique_ptr<Image> open_raw(io::File file, PageCache page_cache);

  // What the image lies over, if it lies over anything.
  ImageBelow open_below(const FormattedFile& above);
  FormattedFile open_parent(const std::string& from, const ParentReference& parent);
  static void check_identity(const std::string& from, const ParentReference& parent,
                             const FormattedFile& found);

  // A disk that a descriptor makes of several files.
  std::unique_ptr<Image> open_parts(io::File file, const ImageBelow& below, PageCache page_cache);
  // The last part has bytes of its own: else a short text could say that a file's content is there
  // thousands of times.
  static void refuse_shared(const std::string& from, const std::vector<ImagePart>& parts);
  ImagePart open_part(const std::string& from, const vmdk::ExtentLine& extent, ImageBelow below,
                      PageCache page_cache);

  [[nodiscard]] bool follows_references() const;
  // What a container holds. Its names of other files mean nothing: there is no folder around it.
  std::unique_ptr<Image> open_contained(io::File file, std::optional<Format> format);

  io::Ring& ring_;
  const OpenOptions& options_;
  ReferenceChain chain_;
  bool in_container_ = false;
  Containers containers_{ring_, options_, [this](io::File file, std::optional<Format> format) {
                           return open_contained(std::move(file), format);
                         }};
};

}  // namespace formats
