// What goes wrong while file systems are worked on, as io::Error.
#pragma once

#include <string>
#include <utility>

#include "io/error.hpp"

namespace imgtool::guest {

// A step that failed: nothing was changed but what is thrown away. Of the appliance alone; of the
// programs that also run without one: failed_step().
[[nodiscard]] inline io::Error trouble(std::string text) {
  return {io::ErrorKind::system, "the appliance", std::move(text)};
}

[[nodiscard]] inline io::Error failed_step(std::string text) {
  return {io::ErrorKind::system, "the work on the copy", std::move(text)};
}

}  // namespace imgtool::guest
