#include "formats/streams/xz.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <thread>
#include <vector>

#include <lzma.h>

#include "io/byte_range.hpp"

namespace formats::streams {
namespace {

// Several blocks at once take their dictionary and their whole content each; with less memory
// they are decoded one by one.
constexpr std::uint64_t memory_for_threads = 192 * io::MiB;
// xz -9 takes 65 MiB. A file that asks for more than this is not decoded at all.
constexpr std::uint64_t most_memory = 1024 * io::MiB;
constexpr std::uint64_t most_index_memory = 64 * io::MiB;

std::string fault_of(lzma_ret result) {
  switch (result) {
    case LZMA_FORMAT_ERROR:
      return "ends, and what follows is no xz data";
    case LZMA_OPTIONS_ERROR:
      return "needs a filter that liblzma does not have";
    case LZMA_UNSUPPORTED_CHECK:
      return "has a checksum of an unknown kind";
    case LZMA_MEMLIMIT_ERROR:
      return "needs more than 1 GiB of memory to be decoded";
    default:
      return "is damaged at or before this place";  // the threads read ahead
  }
}

class XzCodec final : public Codec {
 public:
  XzCodec() { open(); }
  XzCodec(const XzCodec&) = delete;
  XzCodec& operator=(const XzCodec&) = delete;
  ~XzCodec() override { lzma_end(&stream_); }

  [[nodiscard]] std::string_view name() const override { return "xz"; }

  [[nodiscard]] bool can_begin(std::span<const std::byte> next) const override {
    constexpr std::array<unsigned char, 6> magic = {0xfd, '7', 'z', 'X', 'Z', 0};
    return next.size() >= magic.size() &&
           std::equal(magic.begin(), magic.end(), next.begin(),
                      [](unsigned char a, std::byte b) { return std::byte{a} == b; });
  }

  void begin() override { open(); }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    stream_.avail_in = in.size();
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream_.avail_out = out.size();
    const lzma_ret result = lzma_code(&stream_, in.empty() ? LZMA_FINISH : LZMA_RUN);
    Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out,
              result == LZMA_STREAM_END};
    if (result == LZMA_MEM_ERROR) throw std::bad_alloc();
    if (result != LZMA_OK && result != LZMA_STREAM_END && result != LZMA_BUF_ERROR) {
      step.fault = fault_of(result);
    }
    return step;
  }

 private:
  void open() {
    lzma_mt options{};
    options.flags = LZMA_CONCATENATED | LZMA_TELL_UNSUPPORTED_CHECK;
    options.threads = std::max(1U, std::thread::hardware_concurrency());
    options.memlimit_threading = memory_for_threads;
    options.memlimit_stop = most_memory;
    if (lzma_stream_decoder_mt(&stream_, &options) != LZMA_OK) throw std::bad_alloc();
  }

  lzma_stream stream_ = LZMA_STREAM_INIT;
};

}  // namespace

std::unique_ptr<Codec> make_xz_codec() { return std::make_unique<XzCodec>(); }

std::optional<std::uint64_t> xz_content_size(const io::File& file) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_index* index = nullptr;
  if (lzma_file_info_decoder(&stream, &index, most_index_memory, file.size()) != LZMA_OK) {
    throw std::bad_alloc();
  }
  std::vector<std::byte> buffer(64 * io::KiB);
  std::uint64_t position = 0;
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK) {
    if (stream.avail_in == 0) {
      const std::size_t count = file.read_at(position, buffer);
      position += count;
      stream.next_in = reinterpret_cast<const std::uint8_t*>(buffer.data());
      stream.avail_in = count;
    }
    result = lzma_code(&stream, stream.avail_in == 0 ? LZMA_FINISH : LZMA_RUN);
    if (result == LZMA_SEEK_NEEDED) {
      position = stream.seek_pos;
      stream.avail_in = 0;
      result = LZMA_OK;
    }
  }
  std::optional<std::uint64_t> size;
  if (result == LZMA_STREAM_END) size = lzma_index_uncompressed_size(index);
  lzma_index_end(index, nullptr);
  lzma_end(&stream);
  return size;
}

}  // namespace formats::streams
