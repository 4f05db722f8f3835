#include <array>
#include <new>

#include <lz4.h>
#include <lz4hc.h>

#include "formats/images/streams/encoder.hpp"
#include "io/xxh32.hpp"

namespace formats::streams {
namespace {

// The largest that the format has.
constexpr std::uint64_t lz4_block_bytes = 4 * io::MiB;
constexpr std::uint32_t stored_flag = 0x80000000;
constexpr int first_slow_level = 3;

void append_u32(std::vector<std::byte>& bytes, std::uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<std::byte>(value >> shift));
  }
}

class Lz4Encoder final : public Encoder {
 public:
  explicit Lz4Encoder(int level) : level_(level) {}

  [[nodiscard]] std::uint64_t block_bytes() const override { return lz4_block_bytes; }

  // Independent blocks of at most 4 MiB, each with a checksum.
  [[nodiscard]] std::vector<std::byte> begin() const override {
    constexpr std::array<std::byte, 2> descriptor = {std::byte{0x70}, std::byte{0x70}};
    std::vector<std::byte> bytes;
    append_u32(bytes, 0x184D2204);
    bytes.insert(bytes.end(), descriptor.begin(), descriptor.end());
    bytes.push_back(static_cast<std::byte>(io::xxh32(descriptor) >> 8));
    return bytes;
  }

  [[nodiscard]] EncodedBlock encode(std::span<const std::byte> content,
                                    const io::StopFlag* stop) const override {
    if (stop != nullptr) io::throw_if_stopped(*stop, "lz4");
    EncodedBlock block;
    block.content_bytes = content.size();
    const auto size = static_cast<int>(content.size());
    std::vector<std::byte> packed(static_cast<std::size_t>(LZ4_compressBound(size)));
    const auto* from = reinterpret_cast<const char*>(content.data());
    auto* to = reinterpret_cast<char*>(packed.data());
    const auto room = static_cast<int>(packed.size());
    const int length = level_ < first_slow_level ? LZ4_compress_default(from, to, size, room)
                                                 : LZ4_compress_HC(from, to, size, room, level_);
    if (length <= 0) throw std::bad_alloc();  // there is room; memory may be short
    packed.resize(static_cast<std::size_t>(length));
    const bool smaller = packed.size() < content.size();
    const std::span<const std::byte> stored = smaller ? packed : content;
    append_u32(block.bytes,
               static_cast<std::uint32_t>(stored.size()) | (smaller ? 0 : stored_flag));
    block.bytes.insert(block.bytes.end(), stored.begin(), stored.end());
    append_u32(block.bytes, io::xxh32(stored));
    return block;
  }

  void note(const EncodedBlock&) override {}
  [[nodiscard]] std::vector<std::byte> end() override { return std::vector<std::byte>(4); }

 private:
  int level_;
};

}  // namespace

std::unique_ptr<Encoder> make_lz4_encoder(int level) { return std::make_unique<Lz4Encoder>(level); }

}  // namespace formats::streams
