// A file, a disk or a pipe, read front to back by a thread that does nothing else meanwhile, such
// as one that decodes. What the ring's thread reads goes through a Source instead.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "io/byte_stream.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"

namespace io {

class SequentialReader final : public ByteStream {
 public:
  // `file` outlives the reader. `already_read` are bytes that a prober took from its start to
  // see what it is; they come first. `stop` may be null.
  SequentialReader(const File& file, std::vector<std::byte> already_read, const StopFlag* stop);

  // Waits for at least one byte, unless the file has ended; gives the count. Throws Error, and
  // ErrorKind::cancelled when `stop` is set while it waits for the other side of a pipe.
  std::size_t read(std::span<std::byte> buffer) override;

 private:
  std::size_t read_pipe(std::span<std::byte> buffer) const;

  const File& file_;
  std::vector<std::byte> already_read_;
  const StopFlag* stop_;
  bool seekable_;
  std::uint64_t position_ = 0;
};

// The first bytes of a pipe, to see what it is: `count` of them, unless it ends before.
std::vector<std::byte> read_start(const File& file, std::size_t count, const StopFlag* stop);

}  // namespace io
