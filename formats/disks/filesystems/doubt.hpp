// How a parser stops: it found a reason not to say what is free.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

// Thrown inside a parser, and caught by mapped(). `because` and `remedy` are for people.
struct Doubt {
  explicit Doubt(Reason why, std::string text, std::string what_to_do = "")
      : reason(why), because(std::move(text)), remedy(std::move(what_to_do)) {}

  Reason reason;
  std::string because;
  std::string remedy;
};

// How every prober ends. `known` is what the signature alone tells; `map` fills in the rest, the
// free ranges last. A Doubt, and a structure that leads out of the volume, keep all of it whole;
// `repair` is what then puts it in order. Other errors of the source are thrown.
[[nodiscard]] FileSystem mapped(FileSystem known, std::string_view repair,
                                const std::function<void(FileSystem&)>& map);

}  // namespace formats::filesystems
