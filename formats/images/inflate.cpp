#include "formats/images/inflate.hpp"

#include <memory>
#include <new>

#include <libdeflate.h>

namespace formats {
namespace {

struct FreeDeflateDecompressor {
  void operator()(libdeflate_decompressor* context) const { libdeflate_free_decompressor(context); }
};

}  // namespace

bool inflate_block(std::span<const std::byte> stream, std::span<std::byte> block) {
  // Made once per thread: making one costs more than decoding a small block.
  thread_local const std::unique_ptr<libdeflate_decompressor, FreeDeflateDecompressor> context(
      libdeflate_alloc_decompressor());
  if (!context) throw std::bad_alloc();
  // No place for the size of the output: it has to be exactly that of the block.
  std::size_t used = 0;
  return libdeflate_deflate_decompress_ex(context.get(), stream.data(), stream.size(), block.data(),
                                          block.size(), &used, nullptr) == LIBDEFLATE_SUCCESS;
}

}  // namespace formats
