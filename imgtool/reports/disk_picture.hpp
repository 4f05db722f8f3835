// The map of a disk as a picture: rows of cells over the disk, coloured by what most of their
// bytes are. As SVG, and on a page of its own that needs no other file and no network.
//
// Names that come from the disk are made harmless here.
#pragma once

#include <string>

#include "imgtool/reports/analyze_report.hpp"

namespace imgtool {

[[nodiscard]] std::string to_svg(const ImageAnalysis& analysis);

[[nodiscard]] std::string to_html(const ImageAnalysis& analysis);

}  // namespace imgtool
