// Opening for writing what was looked at, and nothing else.
//
// A name can come to lead elsewhere between the look and the opening. So a link at the end of the
// path is resolved before and not followed by the opening, what is open is compared with what was
// seen, and further looks go by the descriptor, not by the name.
#pragma once

#include <string>

#include "io/file.hpp"

namespace imgtool {

// Opens what `path` leads to; `flags` as for open(2). Throws io::Error: refused where it is of
// another kind, another device or inode, or (a regular file) of another size than `seen`.
[[nodiscard]] io::File open_as_seen(const std::string& path, const io::FileStatus& seen, int flags);

// Throws io::Error, refused, for a file that is there but has no name any more: /proc/self/fd/3 of
// one that was deleted. What is written to it is gone with the last program that has it open.
void refuse_deleted(const std::string& path);

// A path that leads to the open file itself, whatever became of its name.
[[nodiscard]] std::string path_of_open(const io::File& file);

}  // namespace imgtool
