#include "formats/images/inflate.hpp"

#include <memory>
#include <new>

#include <libdeflate.h>

namespace formats {
namespace {

struct FreeDeflateDecompressor {
  void operator()(libdeflate_decompressor* context) const { libdeflate_free_decompressor(context); }
};

// Made once per thread: making one costs more than decoding a small block.
libdeflate_decompressor* inflater() {
  thread_local const std::unique_ptr<libdeflate_decompressor, FreeDeflateDecompressor> context(
      libdeflate_alloc_decompressor());
  if (!context) throw std::bad_alloc();
  return context.get();
}

}  // namespace

bool inflate_block(std::span<const std::byte> stream, std::span<std::byte> block) {
  // No place for the size of the output: it has to be exactly that of the block.
  std::size_t used = 0;
  return libdeflate_deflate_decompress_ex(inflater(), stream.data(), stream.size(), block.data(),
                                          block.size(), &used, nullptr) == LIBDEFLATE_SUCCESS;
}

std::optional<std::size_t> inflate_zlib(std::span<const std::byte> stream,
                                        std::span<std::byte> block) {
  std::size_t size = 0;
  const auto result = libdeflate_zlib_decompress(inflater(), stream.data(), stream.size(),
                                                 block.data(), block.size(), &size);
  return result == LIBDEFLATE_SUCCESS ? std::optional(size) : std::nullopt;
}

}  // namespace formats
