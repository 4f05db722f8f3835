// Files and folders of an image, written to the host.
//
// Nothing is written outside of what was named: names with a '/' or a NUL are left out, every file
// is made new in a folder that is held open, and links are made as links, never followed. Devices,
// pipes and sockets are left out. What is damaged is left out and told of; the rest is written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "imgtool/jobs/inner_files.hpp"
#include "io/file.hpp"

namespace imgtool {

struct Extracted {
  std::uint64_t files = 0;
  std::uint64_t folders = 0;
  std::uint64_t links = 0;
  std::uint64_t bytes = 0;            // of the files' sizes, holes and all
  std::uint64_t special = 0;          // devices, pipes and sockets, left out
  std::uint64_t failed = 0;           // what could not be read, or has a name that cannot be
  std::vector<std::string> problems;  // why, of the first of them; raw bytes: escape them
};

inline constexpr std::size_t most_problems = 20;

// `out` is made: a file by the rules of io::OutputFile, a folder by those of io::OutputFolder.
// Throws io::Error for what ends the work.
[[nodiscard]] Extracted extract(InnerFileSystem& files, formats::filesystems::NodeId id,
                                const std::string& out, bool force, const io::StopFlag& stop);

// The content of a file to a descriptor that takes it front to back, holes as zeros. Throws
// io::Error.
void copy_to_stream(InnerFileSystem& files, formats::filesystems::NodeId id, int fd,
                    const std::string& name, const io::StopFlag& stop);

}  // namespace imgtool
