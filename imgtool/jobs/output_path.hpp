// Where outputs may go: never onto what the same job reads, or writes because of another option.
#pragma once

#include <string>
#include <vector>

#include "io/devices/device_usage.hpp"

namespace imgtool {

// The same for all names of a file, be it there or not.
[[nodiscard]] std::string spelled_out(const std::string& path);

// For a file that is to be made or replaced; "-" is none. Refuses (io::Error) a name that
// refuse_device_like_name() does, and when it, or the
// partial file that it is until it is complete, is in use, or shares storage with one of `others`
// or has its name.
void check_output_path(const std::string& path, const std::vector<std::string>& others,
                       const io::DeviceUsage& usage);

// Refuses (io::Error) a name that is no place for a file: "-", where `takes_pipe` is false; one in
// /dev that is no device, be it there or not; one without a folder that is a device's. The text
// says which path was probably meant. A device itself passes.
void refuse_device_like_name(const std::string& path, bool takes_pipe);

// Says on standard error that a second writer of `path` would not be noticed.
void note_no_locks(const std::string& path);

}  // namespace imgtool
