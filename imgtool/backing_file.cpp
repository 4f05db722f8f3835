#include "imgtool/backing_file.hpp"

#include <filesystem>

#include "formats/reference.hpp"
#include "io/error.hpp"

namespace imgtool {

BackingFile::BackingFile(io::Ring& ring, const OutputOptions& options, OutputPlan& plan,
                         bool follow_references, io::WorkerPool& workers) {
  formats::refuse_special_name(plan.path, *options.backing);
  formats::OpenOptions open;
  open.format = options.backing_format;
  open.follow_references = follow_references;
  open.workers = &workers;
  const auto folder = std::filesystem::path(plan.path).parent_path();
  image_ = formats::open_image(ring, (folder / *options.backing).string(), open);
  if (image_->format() != formats::Format::raw && image_->format() != formats::Format::qcow2) {
    throw io::Error(io::ErrorKind::unsupported, image_->name(),
                    "cannot be a backing file; only raw and qcow2 images can");
  }
  plan.create.backing_file = *options.backing;
  plan.create.backing_format = formats::name_of(image_->format());
}

std::vector<std::string> BackingFile::paths() const {
  std::vector<std::string> paths;
  for (const io::File* file : image_->files()) paths.push_back(file->path());
  return paths;
}

}  // namespace imgtool
