// An Android sparse image: its header and chunks, and its checksums. Anything but an io::Error, or
// chunks that leave a gap, is a bug.
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#include "formats/images/simg/image.hpp"
#include "io/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace formats::simg;
  static const auto ring = io::make_ring({io::Engine::threads, 4, 1}).ring;
  io::File file(io::FileDescriptor(memfd_create("fuzz", MFD_CLOEXEC)), "fuzz");
  file.write_at(0, std::as_bytes(std::span(data, size)));
  try {
    const Layout layout = read_layout(file);
    std::uint64_t position = 0;
    for (const Chunk& chunk : layout.chunks) {
      const bool outside =
          chunk.kind == ChunkKind::raw &&
          (chunk.stored_at > size || chunk.content.length > size - chunk.stored_at);
      if (chunk.content.offset != position || chunk.content.empty() || outside) std::abort();
      position = chunk.content.end();
    }
    if (position != layout.content_size) std::abort();
    const SimgImage image(*ring, std::move(file), {});
  } catch (const io::Error&) {
  }
  return 0;
}
