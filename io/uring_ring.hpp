// The io_uring engine. Only uring_ring.cpp knows liburing.
#pragma once

#include <memory>
#include <string>

#include "io/ring.hpp"

namespace io {

extern const bool uring_is_built;

// Null, with the reason in `why_not`, where the kernel has no usable io_uring (too old, forbidden
// by sysctl io_uring_disabled or a container's seccomp profile) or this build has none.
std::unique_ptr<Ring> make_uring_ring(unsigned entries, std::string& why_not);

}  // namespace io
