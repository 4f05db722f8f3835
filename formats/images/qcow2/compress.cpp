#include "formats/images/qcow2/compress.hpp"

#include <cassert>
#include <memory>
#include <new>

#include <zlib.h>
#include <zstd.h>

#include "formats/images/deflate.hpp"

namespace formats::qcow2 {
namespace {

// Contexts are made once per thread and level: making one costs more than a small cluster.
struct FreeZstdCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

// As qemu does it, for readers that allow no larger window. libdeflate has no such choice.
class SmallWindow {
 public:
  explicit SmallWindow(int level) : level_(level) {
    if (deflateInit2(&stream_, level, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
      throw std::bad_alloc();
    }
  }
  SmallWindow(const SmallWindow&) = delete;
  SmallWindow& operator=(const SmallWindow&) = delete;
  ~SmallWindow() { deflateEnd(&stream_); }

  [[nodiscard]] int level() const { return level_; }

  std::size_t compress(std::span<const std::byte> cluster, std::span<std::byte> out) {
    deflateReset(&stream_);
    // zlib's interface is older than const.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(cluster.data()));
    stream_.avail_in = static_cast<uInt>(cluster.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    if (deflate(&stream_, Z_FINISH) != Z_STREAM_END) return 0;
    return out.size() - stream_.avail_out;
  }

 private:
  int level_;
  z_stream stream_{};
};

std::size_t deflate_small_window(int level, std::span<const std::byte> cluster,
                                 std::span<std::byte> out) {
  thread_local std::unique_ptr<SmallWindow> context;
  if (!context || context->level() != level) context = std::make_unique<SmallWindow>(level);
  return context->compress(cluster, out);
}

std::size_t compress_zstd(int level, std::span<const std::byte> cluster, std::span<std::byte> out) {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeZstdCompressor> context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  const std::size_t size = ZSTD_compressCCtx(context.get(), out.data(), out.size(), cluster.data(),
                                             cluster.size(), level);
  // The only error that can happen here is that the stream does not fit.
  return ZSTD_isError(size) != 0 ? 0 : size;
}

}  // namespace

int default_level(Compression type) { return type == Compression::zstd ? 3 : 4; }

int highest_level(const Codec& codec) {
  if (codec.type == Compression::zstd) return 19;
  return codec.small_window ? 9 : highest_deflate_level;
}

std::size_t compress(const Codec& codec, std::span<const std::byte> cluster,
                     std::span<std::byte> out) {
  assert(codec.level >= 1 && codec.level <= highest_level(codec));
  if (codec.type == Compression::zstd) return compress_zstd(codec.level, cluster, out);
  if (codec.small_window) return deflate_small_window(codec.level, cluster, out);
  return deflate_block(codec.level, cluster, out);
}

}  // namespace formats::qcow2
