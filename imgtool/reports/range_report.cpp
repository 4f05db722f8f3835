#include "imgtool/reports/range_report.hpp"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include "imgtool/terminal/report.hpp"

namespace imgtool {

Json ranges_json(const std::vector<io::ByteRange>& ranges) {
  Json list = Json::array();
  for (const io::ByteRange& range : ranges) {
    list.push_back({{"start", range.offset}, {"length", range.length}});
  }
  return list;
}

std::string lost_in_words(const std::vector<io::ByteRange>& lost, std::string_view complete_list) {
  if (lost.empty()) return "";
  std::uint64_t bytes = 0;
  for (const io::ByteRange& range : lost) bytes += range.length;
  std::string text = fmt::format(
      "{} bytes in {} places could not be read and are zeros in the image:\n", bytes, lost.size());
  for (std::size_t index = 0; index < std::min(lost.size(), most_ranges_shown); ++index) {
    text += fmt::format("  {} bytes at offset {}\n", lost[index].length, lost[index].offset);
  }
  if (lost.size() > most_ranges_shown) {
    text +=
        fmt::format("  and {} more places ({})\n", lost.size() - most_ranges_shown, complete_list);
  }
  return text;
}

}  // namespace imgtool
