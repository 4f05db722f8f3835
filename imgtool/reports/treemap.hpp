// The largest folders of a file system as a picture: rectangles in each other, whose areas are what
// the folders take.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/disks/file_survey.hpp"
#include "imgtool/reports/analyze_report.hpp"

namespace imgtool {

struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
};

// Divides `box` among `sizes`, which descend and are not 0, into boxes that are as near to squares
// as can be (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000).
[[nodiscard]] std::vector<Box> squarified(Box box, const std::vector<double>& sizes);

// What the page needs for them, once.
extern const std::string_view treemap_style;
extern const std::string_view treemap_script;

// A heading, the picture, what its colours mean and the largest files, for each file system.
[[nodiscard]] std::string treemaps(const std::vector<VolumeFiles>& volumes);

}  // namespace imgtool
