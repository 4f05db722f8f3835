// The image that a new one is laid over, as -B and -b name it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/image.hpp"
#include "imgtool/image_output.hpp"

namespace imgtool {

class BackingFile {
 public:
  // Opens options.backing, which is relative to the image that names it, and notes it in the plan.
  // `ring` and `workers` outlive it. Throws io::Error.
  BackingFile(io::Ring& ring, const OutputOptions& options, OutputPlan& plan,
              bool follow_references, io::WorkerPool& workers);

  [[nodiscard]] formats::Image& image() { return *image_; }
  // Of it, and of the files that it names.
  [[nodiscard]] std::vector<std::string> paths() const;

 private:
  std::unique_ptr<formats::Image> image_;
};

}  // namespace imgtool
