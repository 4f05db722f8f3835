// The content of a file inside of an image, decoded.
#pragma once

#include <functional>
#include <span>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/files.hpp"

namespace imgtool {

using ContentVisitor = std::function<void(std::uint64_t offset, std::span<const std::byte> bytes)>;

// Gives all of the file that is not a hole, from front to back, in pieces of 1 MiB at most. Throws
// io::Error; ErrorKind::unsupported for what cannot be decoded here.
void read_content(formats::DiskView& volume, const formats::filesystems::FileMap& map,
                  const ContentVisitor& visit);

}  // namespace imgtool
