// How a parser stops: it found a reason not to say what is free.
#pragma once

#include <string>
#include <utility>

namespace formats::filesystems {

// Thrown inside a parser, and caught by its prober, which keeps the container whole.
struct Doubt {
  explicit Doubt(std::string why, std::string what_to_do = "")
      : because(std::move(why)), remedy(std::move(what_to_do)) {}

  std::string because;
  std::string remedy;
};

}  // namespace formats::filesystems
