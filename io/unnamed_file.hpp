// Files without a name, which vanish with the last descriptor, and the room that there is for them.
#pragma once

#include <cstdint>
#include <string>

#include "io/file.hpp"

namespace io {

// In `folder`, for reading and writing. Where its file system has no such files, one that loses its
// name at once. Throws Error.
[[nodiscard]] FileDescriptor make_unnamed_file(const std::string& folder);

// Bytes that a user without privileges may still write to the file system of `folder`. Throws
// Error.
[[nodiscard]] std::uint64_t room_in(const std::string& folder);

}  // namespace io
