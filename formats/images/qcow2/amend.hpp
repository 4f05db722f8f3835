// Changes what the header of a qcow2 image says about its format, in place.
//
// Killed at any moment, the image has the old header or the new one. Source of the fields:
// docs/interop/qcow2.txt of QEMU.
#pragma once

#include <cstdint>
#include <optional>

#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

struct Amendment {
  std::optional<std::uint32_t> version;  // 2 or 3
  std::optional<bool> lazy_refcounts;    // on needs version 3
};

// Version 2 becomes 3; snapshots are told their own size then, as version 3 demands. `file` is open
// for reading and writing, and no other program uses it. Throws Error: refused for an image that is
// damaged, unsupported for what cannot be done; neither has changed anything. Blocking.
void amend(const io::File& file, const Amendment& amendment, const io::StopFlag& stop);

}  // namespace formats::qcow2
