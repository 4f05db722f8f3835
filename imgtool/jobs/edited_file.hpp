// Opening an image that is changed where it lies.
#pragma once

#include <string>
#include <string_view>

#include "io/file.hpp"

namespace imgtool {

// For reading and writing, alone: nothing here uses it, and no other program that takes QEMU's
// locks; they last as long as the file is open. A regular file or, with `devices`, a block device.
// Throws io::Error: refused where something uses it, and for what is neither; `why` is added then.
[[nodiscard]] io::File open_alone(const std::string& path, bool devices, std::string_view why = {});

// The same of a qcow2 image; of another one throws ErrorKind::unsupported, saying that it has no
// `what` ("snapshots").
[[nodiscard]] io::File open_qcow2_alone(const std::string& path, std::string_view what);

}  // namespace imgtool
