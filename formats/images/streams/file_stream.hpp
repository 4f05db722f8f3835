// A file, a part of one or a pipe as a stream that brings it along.
#pragma once

#include <utility>
#include <vector>

#include "io/file.hpp"
#include "io/sequential_reader.hpp"

namespace formats::streams {

class FileStream final : public io::ByteStream {
 public:
  // See io::SequentialReader.
  FileStream(io::File file, const io::StopFlag* stop, std::vector<std::byte> already_read = {})
      : file_(std::move(file)), reader_(file_, std::move(already_read), stop) {}

  std::size_t read(std::span<std::byte> buffer) override { return reader_.read(buffer); }

 private:
  io::File file_;
  io::SequentialReader reader_;
};

}  // namespace formats::streams
