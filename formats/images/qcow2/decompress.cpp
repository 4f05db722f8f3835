#include "formats/images/qcow2/decompress.hpp"

#include <memory>
#include <new>

#include <zstd.h>

#include "formats/images/inflate.hpp"

namespace formats::qcow2 {
namespace {

struct FreeZstdDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Several frames may follow one another. Decoding frame by frame in one call each never
// allocates the window that a hostile frame asks for.
bool decompress_zstd(std::span<const std::byte> stream, std::span<std::byte> cluster) {
  // Made once per thread: making one costs more than decoding a small cluster.
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeZstdDecompressor> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  while (!cluster.empty()) {
    const std::size_t frame = ZSTD_findFrameCompressedSize(stream.data(), stream.size());
    if (ZSTD_isError(frame) != 0) return false;
    const std::size_t count =
        ZSTD_decompressDCtx(context.get(), cluster.data(), cluster.size(), stream.data(), frame);
    if (ZSTD_isError(count) != 0) return false;
    stream = stream.subspan(frame);
    cluster = cluster.subspan(count);
  }
  return true;
}

}  // namespace

bool decompress(Compression compression, std::span<const std::byte> stream,
                std::span<std::byte> cluster) {
  return compression == Compression::zstd ? decompress_zstd(stream, cluster)
                                          : inflate_block(stream, cluster);
}

}  // namespace formats::qcow2
