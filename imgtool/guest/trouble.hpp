// What goes wrong around the appliance, as io::Error.
#pragma once

#include <string>

#include "io/error.hpp"

namespace imgtool::guest {

// A step that failed: nothing was changed but what is thrown away.
[[nodiscard]] inline io::Error trouble(std::string text) {
  return {io::ErrorKind::system, "the appliance", std::move(text)};
}

}  // namespace imgtool::guest
