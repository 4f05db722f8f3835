// Whole transfers over a ring: short counts, EINTR and EAGAIN are dealt with here and nowhere
// else.
#pragma once

#include <cstddef>
#include <string>

#include "io/ring.hpp"
#include "io/task.hpp"

namespace io {

// A file as transfers need it: for the ring, and its name for messages.
struct NamedFile {
  RingFile file;
  std::string path;
};

// Fills `buffer` from `offset`, unless the file ends first; gives the count. Throws Error with
// the range that could not be read. `file` outlives the task.
Task<std::size_t> read_full(Ring& ring, const NamedFile& file, std::uint64_t offset, Buffer buffer);

// Writes all of `buffer` at `offset`. Throws Error with the range that could not be written.
Task<> write_full(Ring& ring, const NamedFile& file, std::uint64_t offset, Buffer buffer);

// Makes everything completed so far durable.
Task<> flush_file(Ring& ring, const NamedFile& file);

}  // namespace io
