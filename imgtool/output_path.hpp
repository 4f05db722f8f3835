// Where outputs may go: never onto what the same job reads, or writes because of another option.
#pragma once

#include <string>
#include <vector>

#include "io/device_usage.hpp"

namespace imgtool {

// The same for all names of a file, be it there or not.
[[nodiscard]] std::string spelled_out(const std::string& path);

// For a file that is to be made or replaced; "-" is none. Refuses (io::Error) when it, or the
// partial file that it is until it is complete, is in use, or shares storage with one of `others`
// or has its name.
void check_output_path(const std::string& path, const std::vector<std::string>& others,
                       const io::DeviceUsage& usage);

}  // namespace imgtool
