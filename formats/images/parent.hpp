// The image that lies below another one, as that one names it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/images/format.hpp"

namespace formats {

struct ParentReference {
  std::string name;  // untrusted bytes, as they stand in the image
  // The name is of another host, where it may have had folders: its last part is looked for in the
  // image's own folder.
  bool beside = false;
  std::optional<Format> format{};  // what it has to be; nothing: the image does not say
  // What identity_of() may say of it; none: anything.
  std::vector<std::string> identities{};
};

}  // namespace formats
