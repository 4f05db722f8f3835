#include <algorithm>
#include <array>
#include <cassert>
#include <new>

#include <lzma.h>

#include "formats/images/streams/encoder.hpp"
#include "io/error.hpp"

namespace formats::streams {
namespace {

constexpr std::uint64_t block_size = 8 * io::MiB;
constexpr std::size_t stop_is_looked_at = 64 * io::KiB;  // of content, between two looks
constexpr lzma_check checksum = LZMA_CHECK_CRC64;

void require(lzma_ret result) {
  if (result == LZMA_MEM_ERROR) throw std::bad_alloc();
  if (result != LZMA_OK) {
    throw io::Error(io::ErrorKind::unsupported, "xz",
                    "liblzma cannot encode this (error " + std::to_string(result) + ")");
  }
}

// The filters of liblzma's preset; a dictionary larger than the block would be memory for nothing.
lzma_options_lzma options_of(int level) {
  lzma_options_lzma options{};
  const auto preset = static_cast<std::uint32_t>(std::min(level, 6));
  if (lzma_lzma_preset(&options, preset | (level > 6 ? LZMA_PRESET_EXTREME : 0)) != 0) {
    throw std::bad_alloc();
  }
  if (level > 7) {
    options.nice_len = 273;
    options.depth = level > 8 ? 512 : 0;
  }
  options.dict_size = std::min<std::uint32_t>(options.dict_size, block_size);
  return options;
}

std::uint8_t* raw(std::vector<std::byte>& bytes) {
  return reinterpret_cast<std::uint8_t*>(bytes.data());
}

class XzEncoder final : public Encoder {
 public:
  explicit XzEncoder(int level) : options_(options_of(level)), index_(lzma_index_init(nullptr)) {
    if (index_ == nullptr) throw std::bad_alloc();
    flags_.version = 0;
    flags_.check = checksum;
  }
  XzEncoder(const XzEncoder&) = delete;
  XzEncoder& operator=(const XzEncoder&) = delete;
  ~XzEncoder() override { lzma_index_end(index_, nullptr); }

  [[nodiscard]] std::uint64_t block_bytes() const override { return block_size; }

  [[nodiscard]] std::vector<std::byte> begin() const override {
    std::vector<std::byte> bytes(LZMA_STREAM_HEADER_SIZE);
    require(lzma_stream_header_encode(&flags_, raw(bytes)));
    return bytes;
  }

  [[nodiscard]] EncodedBlock encode(std::span<const std::byte> content,
                                    const io::StopFlag* stop) const override {
    lzma_options_lzma options = options_;
    std::array<lzma_filter, 2> filters = {
        {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}}};
    lzma_block block{};
    block.version = 0;
    block.check = checksum;
    block.filters = filters.data();
    // The most that both can be: that fixes how long the header is, which is written last.
    block.uncompressed_size = content.size();
    block.compressed_size = lzma_block_buffer_bound(content.size());
    require(lzma_block_header_size(&block));
    EncodedBlock made;
    made.content_bytes = content.size();
    made.bytes.resize(block.header_size + lzma_block_buffer_bound(content.size()));
    const std::size_t size = fill(block, content, made.bytes, stop);
    made.bytes.resize(size);
    made.listed_bytes = lzma_block_unpadded_size(&block);
    return made;
  }

  void note(const EncodedBlock& block) override {
    require(lzma_index_append(index_, nullptr, block.listed_bytes, block.content_bytes));
  }

  [[nodiscard]] std::vector<std::byte> end() override {
    const auto index_size = static_cast<std::size_t>(lzma_index_size(index_));
    std::vector<std::byte> bytes(index_size + LZMA_STREAM_HEADER_SIZE);
    std::size_t position = 0;
    require(lzma_index_buffer_encode(index_, raw(bytes), &position, index_size));
    lzma_stream_flags flags = flags_;
    flags.backward_size = index_size;
    require(lzma_stream_footer_encode(&flags, raw(bytes) + index_size));
    return bytes;
  }

 private:
  struct Stream {
    lzma_stream state = LZMA_STREAM_INIT;
    ~Stream() { lzma_end(&state); }
  };

  // Header and all; gives the length.
  static std::size_t fill(lzma_block& block, std::span<const std::byte> content,
                          std::vector<std::byte>& out, const io::StopFlag* stop) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(content.data());
    std::size_t size = block.header_size;
    if (!compress(block, content, out, size, stop)) {  // stored as it is
      block.uncompressed_size = content.size();
      size = 0;
      require(lzma_block_uncomp_encode(&block, bytes, content.size(), raw(out), &size, out.size()));
      return size;
    }
    require(lzma_block_header_encode(&block, raw(out)));
    return size;
  }

  // False: it would be longer than the content.
  static bool compress(lzma_block& block, std::span<const std::byte> content,
                       std::vector<std::byte>& out, std::size_t& size, const io::StopFlag* stop) {
    Stream stream;
    require(lzma_block_encoder(&stream.state, &block));
    stream.state.next_out = raw(out) + size;
    stream.state.avail_out = out.size() - size;
    lzma_ret result = LZMA_OK;
    while (result == LZMA_OK && stream.state.avail_out > 0) {
      if (stop != nullptr) io::throw_if_stopped(*stop, "xz");
      const auto piece = content.first(std::min(content.size(), stop_is_looked_at));
      content = content.subspan(piece.size());
      stream.state.next_in = reinterpret_cast<const std::uint8_t*>(piece.data());
      stream.state.avail_in = piece.size();
      do {
        result = lzma_code(&stream.state, content.empty() ? LZMA_FINISH : LZMA_RUN);
      } while (result == LZMA_OK && stream.state.avail_in > 0 && stream.state.avail_out > 0);
    }
    if (result == LZMA_OK || result == LZMA_BUF_ERROR) return false;
    if (result != LZMA_STREAM_END) require(result);
    size = out.size() - stream.state.avail_out;
    return true;
  }

  const lzma_options_lzma options_;
  lzma_stream_flags flags_{};
  lzma_index* index_;
};

}  // namespace

std::unique_ptr<Encoder> make_xz_encoder(int level) { return std::make_unique<XzEncoder>(level); }

}  // namespace formats::streams
