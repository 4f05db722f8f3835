#include "imgtool/jobs/block_map.hpp"

#include <algorithm>

#include "formats/images/bmap/source.hpp"
#include "imgtool/terminal/signals.hpp"
#include "io/error.hpp"

namespace imgtool {

std::optional<BlockMap> load_block_map(const std::string& choice, const std::string& image) {
  if (choice == "none") return std::nullopt;
  std::optional<std::string> path = choice;
  if (choice == "auto") path = image == "-" ? std::nullopt : formats::bmap::find_beside(image);
  if (!path) return std::nullopt;
  return BlockMap{*path, formats::bmap::read(*path), choice != "auto"};
}

void check_content(io::Ring& ring, io::Source& image, const BlockMap& map,
                   const io::CopyOptions& options, io::CopyObserver& observer) {
  formats::bmap::BmapSource checked(ring, image, map.map, map.path, formats::bmap::Unmapped::zeros,
                                    true);
  if (!map.named) {
    checked.refuse_data_outside();
    checked.check_outside([&] {
      observer.tick();
      io::throw_if_stopped(stop_flag(), image.name());
    });
  }
  const auto& mapped = map.map.mapped;
  if (std::all_of(mapped.begin(), mapped.end(),
                  [](const auto& range) { return range.checksum.empty(); })) {
    return;
  }
  io::read_whole(ring, checked, options, observer, stop_flag());
}

}  // namespace imgtool
