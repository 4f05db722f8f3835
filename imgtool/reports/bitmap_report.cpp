#include "imgtool/reports/bitmap_report.hpp"

#include <cstdint>

namespace imgtool {

Json bitmap_json(const formats::qcow2::Bitmap& bitmap) {
  Json json;
  json["name"] = bitmap.name;
  json["granularity"] = std::uint64_t{1} << bitmap.granularity_bits;
  json["flags"] = Json::array();
  if (bitmap.in_use) json["flags"].push_back("in-use");
  if (bitmap.automatic) json["flags"].push_back("auto");
  return json;
}

}  // namespace imgtool
