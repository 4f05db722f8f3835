// What the next commands would make of an image: estimates, from samples of its content.
#pragma once

#include <string>
#include <vector>

#include "formats/images/forecast.hpp"
#include "io/range_map.hpp"

namespace imgtool {

struct Prospect {
  std::string command;         // as it is typed, without the image
  formats::Forecast forecast;  // of the file that it writes
};

// `image` is seekable, `unused` what no file system uses of it, ascending. For a disk it is
// captured, for an image file converted. Reads some MiB of the content; throws io::Error where
// that cannot be read.
[[nodiscard]] std::vector<Prospect> look_ahead(io::Ring& ring, io::Source& image, bool is_disk,
                                               const std::vector<io::ByteRange>& unused,
                                               io::WorkerPool& workers);

}  // namespace imgtool
