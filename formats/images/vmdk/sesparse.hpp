// Where the grains of a space-efficient sparse VMware disk ("seSparse") are, as ESXi makes its
// snapshots since 6.5. Only one that was closed is read: what its journal has is not replayed.
//
// Source: block/vmdk.c of QEMU, which names the fields. All numbers are little-endian words of 8
// bytes, all places in sectors of 512 bytes.
#pragma once

#include <memory>

#include "formats/images/block_map.hpp"
#include "io/file.hpp"

namespace formats::vmdk {

// Reads the directory; tables are read, and their grains checked, when they are met. Throws Error;
// ErrorKind::unsupported where the journal would have to be replayed.
[[nodiscard]] std::unique_ptr<BlockMap> open_sesparse_map(const io::File& file);

}  // namespace formats::vmdk
