#include "formats/images/image.hpp"

#include <utility>

#include <fcntl.h>

#include "formats/images/opener.hpp"
#include "formats/images/vmdk/stream.hpp"

namespace formats {

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
