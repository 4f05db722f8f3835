// The keys of LUKS that the user names.
#pragma once

#include <optional>
#include <string>

namespace imgtool::guest {

struct KeyFile {
  std::optional<unsigned> partition;  // nothing: of any
  std::string path;
  std::string key;  // what is in it
};

// "3:FILE", or "FILE"; not read yet. Throws UsageError.
[[nodiscard]] KeyFile parse_key_file(const std::string& word);

// Once, because it may be a pipe. Throws io::Error.
void read_key(KeyFile& file);

}  // namespace imgtool::guest
