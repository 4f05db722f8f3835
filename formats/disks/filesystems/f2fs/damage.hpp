// How the readers of f2fs complain.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::f2fs {

inline constexpr std::string_view repair = "unmount it and let fsck.f2fs look at it";

// A structure, as people may call it: "its map of nodes".
struct Structure {
  std::string_view name;

  // Throws Doubt unless it holds. `what` is wrong: "wrong checksum".
  void check(bool holds, std::string_view what) const {
    if (holds) return;
    throw Doubt(Reason::damaged, fmt::format("{} is damaged: {}", name, what), std::string(repair));
  }
};

}  // namespace formats::filesystems::f2fs
