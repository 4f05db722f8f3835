// The byte locks by which QEMU, its tools and imgtool keep out of each other's way on an image.
//
// A program holds a read lock on byte 100 + n of the file for each permission n that it uses, and
// on byte 200 + n for each that it does not let others use (QEMU's block/file-posix.c). First it
// takes its locks, then it looks at those of the others: of two that start together at least one
// sees the other. They belong to the open file description and end with it; they are advisory,
// and seen by other hosts where the file system carries locks.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/file.hpp"

namespace io {

enum class ImageUse : std::uint8_t {
  reading,  // beside others that read
  writing,  // alone
};

// Whether a lock that failed with this error could never be had: the file system has no locks.
// Any other failure is one, and says nothing about who else has the file.
[[nodiscard]] bool means_no_locks(int error_number);

// Whether another program uses the image in a way that excludes `use`. Takes no lock; false where
// the file system has none. Throws Error where it cannot be found out.
[[nodiscard]] bool excluded_by_others(int fd, ImageUse use);

// Takes the locks of `use` on `file`, which is open for reading. Waits a moment for those of a
// killed program, which the kernel lets go of late. Throws ErrorKind::refused when another program
// excludes it; `way_past` is added to what it says, by commands that can read without a lock.
// False: there are no locks on this file system.
bool lock_image(const File& file, ImageUse use, std::string_view way_past = {});

}  // namespace io
