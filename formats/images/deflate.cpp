#include "formats/images/deflate.hpp"

#include <cassert>
#include <memory>
#include <new>

#include <libdeflate.h>

namespace formats {
namespace {

struct FreeDeflateCompressor {
  void operator()(libdeflate_compressor* context) const { libdeflate_free_compressor(context); }
};

// Made once per thread and level: making one costs more than encoding a small block.
libdeflate_compressor* deflater(int level) {
  thread_local std::unique_ptr<libdeflate_compressor, FreeDeflateCompressor> context;
  thread_local int context_level = 0;
  assert(level >= 1 && level <= highest_deflate_level);
  if (context_level != level) {
    context.reset(libdeflate_alloc_compressor(level));
    if (!context) throw std::bad_alloc();
    context_level = level;
  }
  return context.get();
}

}  // namespace

std::size_t deflate_block(int level, std::span<const std::byte> block, std::span<std::byte> out) {
  return libdeflate_deflate_compress(deflater(level), block.data(), block.size(), out.data(),
                                     out.size());
}

std::size_t deflate_zlib(int level, std::span<const std::byte> block, std::vector<std::byte>& out) {
  libdeflate_compressor* const context = deflater(level);
  const std::size_t begin = out.size();
  out.resize(begin + libdeflate_zlib_compress_bound(context, block.size()));
  const std::size_t size = libdeflate_zlib_compress(context, block.data(), block.size(),
                                                    out.data() + begin, out.size() - begin);
  assert(size > 0);  // there was room for the worst case
  out.resize(begin + size);
  return size;
}

}  // namespace formats
