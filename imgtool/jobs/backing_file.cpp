#include "imgtool/jobs/backing_file.hpp"

#include <filesystem>

#include "formats/images/reference.hpp"
#include "io/error.hpp"

namespace imgtool {

BackingFile::BackingFile(io::Ring& ring, const BackingChoice& choice, const std::string& new_image,
                         formats::OpenOptions open)
    : name_(choice.name) {
  formats::refuse_special_name(new_image, name_);
  open.format = choice.format;
  const auto folder = std::filesystem::path(new_image).parent_path();
  image_ = formats::open_image(ring, (folder / name_).string(), open);
  if (image_->format() != formats::Format::raw && image_->format() != formats::Format::qcow2) {
    throw io::Error(io::ErrorKind::unsupported, image_->name(),
                    "cannot be a backing file; only raw and qcow2 images can");
  }
}

std::vector<std::string> BackingFile::paths() const {
  std::vector<std::string> paths;
  for (const io::File* file : image_->files()) paths.push_back(file->path());
  return paths;
}

}  // namespace imgtool
