// How long a qcow2 file will be.
#pragma once

#include "formats/images/qcow2/create_options.hpp"

namespace formats::qcow2 {

// The length of an image whose content takes `content_bytes` of the file, counting alignment,
// and whose L2 tables are `tables`: with header, L1 table and refcounts.
std::uint64_t image_bytes(const CreateOptions& options, std::uint64_t guest_size,
                          std::uint64_t content_bytes, std::uint64_t tables);

// ... where every cluster of the guest has a place of its own.
std::uint64_t fully_allocated_bytes(const CreateOptions& options, std::uint64_t guest_size);

}  // namespace formats::qcow2
