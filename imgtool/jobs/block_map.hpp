// The block map (bmap) of an image, as burn --bmap wants it.
#pragma once

#include <optional>
#include <string>

#include "formats/images/bmap/bmap.hpp"
#include "io/copier.hpp"

namespace imgtool {

struct BlockMap {
  std::string path;
  formats::bmap::Bmap map;
  bool named = false;  // the user chose it; else it was found beside the image
};

// `choice` is a path, "none", or "auto": the one that lies beside the image, if any. Throws
// io::Error.
std::optional<BlockMap> load_block_map(const std::string& choice, const std::string& image);

// Reads all that is mapped of an image that can seek, and throws ErrorKind::mismatch where it is
// not what the map says. So does data outside of a map that was not named.
void check_content(io::Ring& ring, io::Source& image, const BlockMap& map,
                   const io::CopyOptions& options, io::CopyObserver& observer);

}  // namespace imgtool
