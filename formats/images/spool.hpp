// Unpacks a stream into a file without a name, for images that have to be read at any place.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "io/byte_stream.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats {

// What is told before it begins.
struct SpoolNote {
  std::string name;  // of the stream
  std::string folder;
  std::optional<std::uint64_t> size;  // bytes to come, where that is known
  std::uint64_t room = 0;             // bytes
};

struct SpoolOptions {
  std::string folder;  // that the user wants; empty: one of the following
  std::string beside;  // where the output goes; empty: $TMPDIR, else /var/tmp
  std::function<void(const SpoolNote&)> tell;  // may be empty
};

// Zeros take no room. `size`: see SpoolNote. Refuses (ErrorKind::refused) what has no room; `stop`
// may be null. The file has the name `name` in messages. Throws Error.
[[nodiscard]] io::File spool(io::ByteStream& stream, std::optional<std::uint64_t> size,
                             const std::string& name, const SpoolOptions& options,
                             const io::StopFlag* stop);

}  // namespace formats
