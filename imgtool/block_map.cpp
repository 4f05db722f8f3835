#include "imgtool/block_map.hpp"

#include <algorithm>

#include "formats/bmap/source.hpp"
#include "imgtool/signals.hpp"
#include "io/error.hpp"

namespace imgtool {

std::optional<BlockMap> load_block_map(const std::string& choice, const std::string& image) {
  if (choice == "none") return std::nullopt;
  std::optional<std::string> path = choice;
  if (choice == "auto") path = image == "-" ? std::nullopt : formats::bmap::find_beside(image);
  if (!path) return std::nullopt;
  return BlockMap{*path, formats::bmap::read(*path)};
}

void check_content(io::Ring& ring, io::Source& image, const BlockMap& map,
                   const io::CopyOptions& options, io::CopyObserver& observer) {
  const auto& mapped = map.map.mapped;
  if (std::all_of(mapped.begin(), mapped.end(),
                  [](const auto& range) { return range.checksum.empty(); })) {
    return;
  }
  formats::bmap::BmapSource checked(ring, image, map.map, map.path, formats::bmap::Unmapped::zeros,
                                    true);
  std::vector<io::CopyTarget> nobody;
  io::Copier reader(ring, checked, nobody, options, observer, stop_flag());
  reader.run({io::ByteRange{0, map.map.image_size}});
  if (stop_flag().load() != 0) throw io::Error(io::ErrorKind::cancelled, image.name(), "stopped");
}

}  // namespace imgtool
