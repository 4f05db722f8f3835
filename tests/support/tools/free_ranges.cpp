// free_ranges [--trust-maps] IMAGE: what formats/disks/free_space.hpp finds in an image of any
// format, as JSON, for the tests that overwrite all of it. Reads the image only.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/disks/free_space.hpp"
#include "formats/images/image.hpp"
#include "io/error.hpp"

namespace {

using Json = nlohmann::ordered_json;

Json describe(const std::vector<io::ByteRange>& ranges) {
  Json list = Json::array();
  for (const io::ByteRange& range : ranges) list.push_back({range.offset, range.length});
  return list;
}

Json describe(const formats::Volume& volume) {
  const auto& found = volume.file_system;
  std::uint64_t free = 0;
  for (const io::ByteRange& range : volume.free) free += range.length;
  Json document;
  document["name"] = volume.name();
  document["start"] = volume.range.offset;
  document["length"] = volume.range.length;
  document["type"] = found.type;
  document["label"] = found.label;
  document["uuid"] = found.uuid;
  document["size"] = found.size;
  document["block-size"] = found.block_size;
  document["free-bytes"] = free;
  document["kept"] = word_of(found.reason);
  document["hashed"] = volume.hashed;
  document["kept-because"] = found.kept_because;
  document["remedy"] = found.remedy;
  document["map-believed"] = found.map_is_believed;
  document["warning"] = found.warning;
  return document;
}

Json describe(const std::string& path, const formats::FreeSpaceOptions& options) {
  const io::MadeRing made = io::make_ring({});
  const auto image = formats::open_image(*made.ring, path, {});
  formats::DiskView disk(*made.ring, *image);
  const formats::FreeSpace found = formats::find_free_space(disk, options);
  Json document;
  document["size"] = disk.size();
  document["containers"] = Json::array();
  for (const auto& volume : found.volumes) {
    document["containers"].push_back(describe(volume));
  }
  document["free"] = describe(found.free);
  document["witnesses"] = describe(found.witnesses);
  return document;
}

}  // namespace

int main(int argc, char** argv) {
  formats::FreeSpaceOptions options;
  options.trust_maps = argc == 3 && std::string_view(argv[1]) == "--trust-maps";
  if (argc != (options.trust_maps ? 3 : 2)) {
    fmt::print(stderr, "usage: free_ranges [--trust-maps] IMAGE\n");
    return 2;
  }
  try {
    const Json document = describe(argv[argc - 1], options);
    fmt::print("{}\n", document.dump(1, ' ', true, Json::error_handler_t::replace));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "free_ranges: {}\n", error.what());
    return 1;
  }
}
