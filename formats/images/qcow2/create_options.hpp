// What a new qcow2 image is to be like.
#pragma once

#include <cstdint>
#include <string>

#include "formats/images/qcow2/header.hpp"

namespace formats::qcow2 {

enum class Preallocation : std::uint8_t {
  off,
  metadata,  // every guest cluster has its place; the file is sparse
  falloc,    // ... and the file system has set the space aside
  full,      // ... and it was written to
};

struct CreateOptions {
  std::uint32_t version = 3;
  Geometry geometry;
  std::uint32_t refcount_bits = 16;  // 1, 2, 4 ... 64
  Compression compression = Compression::deflate;
  bool lazy_refcounts = false;
  Preallocation preallocation = Preallocation::off;
  std::string backing_file;    // the name as it is to stand in the image; empty: none
  std::string backing_format;  // "raw" or "qcow2"; with a backing file only
};

// No disk is larger than this here, whatever the options.
inline constexpr std::uint64_t largest_disk = std::uint64_t{1} << 60;

// What is wrong with the options for a disk of `guest_size` bytes, as a clause ("cluster_size
// ..."); empty when nothing is.
std::string fault_of(const CreateOptions& options, std::uint64_t guest_size);

// The virtual size of an image for so many bytes: qcow2 counts whole sectors.
[[nodiscard]] constexpr std::uint64_t virtual_size_for(std::uint64_t guest_size) {
  return io::align_up(guest_size, 512);
}

}  // namespace formats::qcow2
