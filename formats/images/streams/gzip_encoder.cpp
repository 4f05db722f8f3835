#include <new>

#include <libdeflate.h>

#include "formats/images/streams/encoder.hpp"

namespace formats::streams {
namespace {

struct FreeCompressor {
  void operator()(libdeflate_compressor* compressor) const {
    libdeflate_free_compressor(compressor);
  }
};

class GzipEncoder final : public Encoder {
 public:
  explicit GzipEncoder(int level) : level_(level) {}

  // A member begins without a history of 32 KiB: at this size that is no loss to speak of.
  [[nodiscard]] std::uint64_t block_bytes() const override { return 4 * io::MiB; }
  [[nodiscard]] std::vector<std::byte> begin() const override { return {}; }

  [[nodiscard]] EncodedBlock encode(std::span<const std::byte> content,
                                    const io::StopFlag* stop) const override {
    if (stop != nullptr) io::throw_if_stopped(*stop, "gzip");
    const std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor(
        libdeflate_alloc_compressor(level_));
    if (!compressor) throw std::bad_alloc();
    EncodedBlock block;
    block.content_bytes = content.size();
    block.bytes.resize(libdeflate_gzip_compress_bound(compressor.get(), content.size()));
    const std::size_t size = libdeflate_gzip_compress(
        compressor.get(), content.data(), content.size(), block.bytes.data(), block.bytes.size());
    block.bytes.resize(size);
    return block;
  }

  void note(const EncodedBlock&) override { any_ = true; }
  // No content at all is a member, too.
  [[nodiscard]] std::vector<std::byte> end() override {
    return any_ ? std::vector<std::byte>{} : encode({}, nullptr).bytes;
  }

 private:
  int level_;
  bool any_ = false;
};

}  // namespace

std::unique_ptr<Encoder> make_gzip_encoder(int level) {
  return std::make_unique<GzipEncoder>(level);
}

}  // namespace formats::streams
