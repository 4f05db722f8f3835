// The image that a new one is laid over, as -B and -b name it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/images/image.hpp"
#include "imgtool/jobs/output_plan.hpp"

namespace imgtool {

class BackingFile {
 public:
  // Opens it as `open` says, but for the format; its name is relative to `new_image`, the path of
  // the image that will name it. `ring` and the workers of `open` outlive it. Throws io::Error.
  BackingFile(io::Ring& ring, const BackingChoice& choice, const std::string& new_image,
              formats::OpenOptions open);

  [[nodiscard]] formats::Image& image() { return *image_; }
  // For plan_output().
  [[nodiscard]] BackingReference reference() const { return {name_, image_->format()}; }
  // Those of it and of the files that it names.
  [[nodiscard]] std::vector<std::string> paths() const;

 private:
  std::string name_;
  std::unique_ptr<formats::Image> image_;
};

}  // namespace imgtool
