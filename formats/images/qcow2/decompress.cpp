#include "formats/images/qcow2/decompress.hpp"

#include <memory>
#include <new>

#include <libdeflate.h>
#include <zstd.h>

namespace formats::qcow2 {
namespace {

// Contexts are made once per thread: making one costs more than decoding a small cluster.
struct FreeDeflateDecompressor {
  void operator()(libdeflate_decompressor* context) const { libdeflate_free_decompressor(context); }
};
struct FreeZstdDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

bool inflate(std::span<const std::byte> stream, std::span<std::byte> cluster) {
  thread_local const std::unique_ptr<libdeflate_decompressor, FreeDeflateDecompressor> context(
      libdeflate_alloc_decompressor());
  if (!context) throw std::bad_alloc();
  // No place for the size of the output: it has to be exactly that of the cluster.
  std::size_t used = 0;
  return libdeflate_deflate_decompress_ex(context.get(), stream.data(), stream.size(),
                                          cluster.data(), cluster.size(), &used,
                                          nullptr) == LIBDEFLATE_SUCCESS;
}

// Several frames may follow one another. Decoding frame by frame in one call each never
// allocates the window that a hostile frame asks for.
bool decompress_zstd(std::span<const std::byte> stream, std::span<std::byte> cluster) {
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
                                          : inflate(stream, cluster);
}

}  // namespace formats::qcow2
