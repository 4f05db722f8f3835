// The content of a tar member, front to back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/images/archives/tar/walker.hpp"
#include "io/byte_stream.hpp"
#include "io/observer.hpp"

namespace formats::tar {

// `data` is what is stored of a member: its segments, one after another; zeros lie between them.
class SparseStream final : public io::ByteStream {
 public:
  SparseStream(std::unique_ptr<io::ByteStream> data, std::vector<io::ByteRange> segments,
               std::uint64_t size)
      : data_(std::move(data)), segments_(std::move(segments)), size_(size) {}

  std::size_t read(std::span<std::byte> buffer) override;

 private:
  std::unique_ptr<io::ByteStream> data_;
  std::vector<io::ByteRange> segments_;
  std::uint64_t size_;
  std::size_t next_ = 0;  // the segment that `at_` is in, or before
  std::uint64_t at_ = 0;
};

// Of an archive in a file. `file` need not outlive the stream; `stop` may be null.
[[nodiscard]] std::unique_ptr<io::ByteStream> open_member(const io::File& file,
                                                          const Member& member,
                                                          const std::string& name,
                                                          const io::StopFlag* stop);

}  // namespace formats::tar
