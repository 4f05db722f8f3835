#include "formats/images/dmg/unpack.hpp"

#include <bzlib.h>
#include <lzma.h>

#include "formats/images/inflate.hpp"
#include "io/byte_range.hpp"

namespace formats::dmg {
namespace {

constexpr std::uint64_t most_xz_memory = 96 * io::MiB;

bool unpack_bzip2(std::span<const std::byte> stream, std::span<std::byte> chunk) {
  auto size = static_cast<unsigned>(chunk.size());
  // It takes no constant bytes, and does not change them.
  auto* const in = const_cast<char*>(reinterpret_cast<const char*>(stream.data()));
  return BZ2_bzBuffToBuffDecompress(reinterpret_cast<char*>(chunk.data()), &size, in,
                                    static_cast<unsigned>(stream.size()), 0, 0) == BZ_OK &&
         size == chunk.size();
}

bool unpack_xz(std::span<const std::byte> stream, std::span<std::byte> chunk) {
  std::uint64_t memory = most_xz_memory;
  std::size_t used = 0;
  std::size_t size = 0;
  return lzma_stream_buffer_decode(&memory, 0, nullptr,
                                   reinterpret_cast<const std::uint8_t*>(stream.data()), &used,
                                   stream.size(), reinterpret_cast<std::uint8_t*>(chunk.data()),
                                   &size, chunk.size()) == LZMA_OK &&
         size == chunk.size();
}

}  // namespace

bool unpack(ChunkKind kind, std::span<const std::byte> stream, std::span<std::byte> chunk) {
  switch (kind) {
    case ChunkKind::zlib:
      return inflate_zlib(stream, chunk) == chunk.size();
    case ChunkKind::bzip2:
      return unpack_bzip2(stream, chunk);
    case ChunkKind::xz:
      return unpack_xz(stream, chunk);
    case ChunkKind::zero:
    case ChunkKind::raw:
      break;  // are not packed
  }
  return false;
}

}  // namespace formats::dmg
