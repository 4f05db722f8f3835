// A persistent bitmap of an image, for programs.
#pragma once

#include "formats/images/qcow2/bitmaps.hpp"
#include "imgtool/terminal/json.hpp"

namespace imgtool {

// With qemu-img's keys.
[[nodiscard]] Json bitmap_json(const formats::qcow2::Bitmap& bitmap);

}  // namespace imgtool
