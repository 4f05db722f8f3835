#include "formats/image.hpp"

#include <utility>

#include <fcntl.h>

#include "formats/qcow2/reader.hpp"
#include "formats/raw.hpp"
#include "formats/reference.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

// Opens an image and, where that is allowed, what it names.
class Opener {
 public:
  Opener(io::Ring& ring, const OpenOptions& options) : ring_(ring), options_(options) {}

  std::unique_ptr<Image> open(io::File file) {
    return open_as(chain_.begin(std::move(file), options_.format), options_.snapshot,
                   options_.direct);
  }

 private:
  std::unique_ptr<Image> open_as(FormattedFile opened, const std::string& snapshot, bool direct) {
    if (opened.format == Format::qcow2) return open_qcow2(std::move(opened.file), snapshot);
    if (!snapshot.empty()) {
      throw io::Error(io::ErrorKind::format, opened.file.path(), "is raw, and has no snapshots");
    }
    return std::make_unique<RawImage>(ring_, std::move(opened.file), direct);
  }

  std::unique_ptr<Image> open_qcow2(io::File file, const std::string& snapshot) {
    qcow2::ReaderOptions options;
    options.layout_only = options_.layout_only;
    options.snapshot = snapshot;
    options.workers = options_.workers;
    if (options_.follow_references) {
      options.open_reference = [this, from = file.path()](const std::string& name,
                                                          const std::string& stated_format) {
        auto image = open_as(chain_.open_next(from, name, stated_format), {}, false);
        chain_.leave();
        return image;
      };
    }
    return std::make_unique<qcow2::Qcow2Image>(ring_, std::move(file), options);
  }

  io::Ring& ring_;
  const OpenOptions& options_;
  ReferenceChain chain_;
};

}  // namespace

std::unique_ptr<Image> open_image(io::Ring& ring, const std::string& path,
                                  const OpenOptions& options) {
  return open_image(ring, io::File(path, O_RDONLY), options);
}

std::unique_ptr<Image> open_image(io::Ring& ring, io::File file, const OpenOptions& options) {
  return Opener(ring, options).open(std::move(file));
}

}  // namespace formats
