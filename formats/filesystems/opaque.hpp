// What is recognised by its signature and not looked into: encrypted volumes, members of RAIDs and
// pools, file systems without a parser. All of it is kept, and so is everything that such a
// signature is found beside: it may be what the rest is a part of.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

// Always kept whole. Several signatures give one answer that names them all.
[[nodiscard]] std::optional<FileSystem> probe_opaque(DiskView& container);

// Whether the type is that of hashes over the blocks of another partition, the free ones too.
[[nodiscard]] bool hashes_others(std::string_view type);

}  // namespace formats::filesystems
