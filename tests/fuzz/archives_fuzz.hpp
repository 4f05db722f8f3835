// What fuzz targets of archives have in common.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <span>
#include <vector>

#include "io/byte_stream.hpp"
#include "io/file.hpp"

namespace formats::fuzz {

inline io::File file_of(std::span<const std::uint8_t> data) {
  io::File file(io::FileDescriptor(memfd_create("fuzz", MFD_CLOEXEC)), "fuzz");
  file.write_at(0, std::as_bytes(data));
  return file;
}

// Reads at most 8 MiB.
inline void read_some(io::ByteStream& stream) {
  std::vector<std::byte> out(std::size_t{64} << 10);
  for (int piece = 0; piece < 128 && io::read_fully(stream, out) == out.size(); ++piece) {
  }
}

}  // namespace formats::fuzz
