// free_ranges IMAGE: what formats/free_space.hpp finds in an image of any format, as JSON, for the
// tests that overwrite all of it. Reads the image only.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/free_space.hpp"
#include "formats/image.hpp"
#include "io/error.hpp"

namespace {

using Json = nlohmann::ordered_json;

Json describe(const std::vector<io::ByteRange>& ranges) {
  Json list = Json::array();
  for (const io::ByteRange& range : ranges) list.push_back({range.offset, range.length});
  return list;
}

Json describe(const formats::Container& container) {
  const auto& found = container.file_system;
  std::uint64_t free = 0;
  for (const io::ByteRange& range : container.free) free += range.length;
  Json document;
  document["name"] = container.name;
  document["start"] = container.range.offset;
  document["length"] = container.range.length;
  document["type"] = found.type;
  document["label"] = found.label;
  document["uuid"] = found.uuid;
  document["size"] = found.size;
  document["block-size"] = found.block_size;
  document["free-bytes"] = free;
  document["kept-because"] = found.kept_because;
  document["remedy"] = found.remedy;
  document["warning"] = found.warning;
  return document;
}

Json describe(const std::string& path) {
  const io::MadeRing made = io::make_ring({});
  const auto image = formats::open_image(*made.ring, path, {});
  formats::DiskView disk(*made.ring, *image);
  const formats::FreeSpace found = formats::find_free_space(disk);
  Json document;
  document["size"] = disk.size();
  document["containers"] = Json::array();
  for (const auto& container : found.containers) {
    document["containers"].push_back(describe(container));
  }
  document["free"] = describe(found.free);
  document["witnesses"] = describe(found.witnesses);
  return document;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: free_ranges IMAGE\n");
    return 2;
  }
  try {
    const Json document = describe(std::string(argv[1]));
    fmt::print("{}\n", document.dump(1, ' ', true, Json::error_handler_t::replace));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "free_ranges: {}\n", error.what());
    return 1;
  }
}
