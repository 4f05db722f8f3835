// How a parser stops: it found a reason not to say what is free.
#pragma once

#include <string>
#include <utility>

namespace formats::filesystems {

// Thrown inside a parser, and caught by its prober, which keeps the container whole.
struct Doubt {
  explicit Doubt(std::string why, std::string what_to_do = "")
      : because(std::move(why)), remedy(std::move(what_to_do)) {}

  // For what its own kernel puts in order when it mounts it.
  static Doubt until_replay(std::string why, std::string what_to_do) {
    Doubt doubt(std::move(why), std::move(what_to_do));
    doubt.needs_replay = true;
    return doubt;
  }

  std::string because;
  std::string remedy;
  bool needs_replay = false;
};

}  // namespace formats::filesystems
