// The header of an old copy-on-write VMware disk (COWD, "vmfsSparse"), as ESXi makes its snapshots:
// a directory of tables of sectors, as a sparse VMDK has them.
//
// Source: libyal, VMware Virtual Disk (VMDK) format specification, "COWD sparse extent data file".
// All numbers are little-endian, all places in sectors of 512 bytes.
#pragma once

#include "formats/images/vmdk/header.hpp"
#include "io/file.hpp"

namespace formats::vmdk {

// Of a file that begins as one does. Throws Error.
[[nodiscard]] Header parse_cowd_header(const io::File& file);

}  // namespace formats::vmdk
