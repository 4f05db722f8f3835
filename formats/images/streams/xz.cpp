#include "formats/images/streams/xz.hpp"

#include <algorithm>
#include <array>
#include <chrono>
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
// liblzma's time grows by the square of the number of streams (20,000 empty ones, 640 KiB: 2 s). A
// file that takes longer does not tell its size beforehand, as a pipe does not.
constexpr std::chrono::seconds most_index_time{1};

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

  void begin(std::span<const std::byte>) override { open(); }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    stream_.avail_in = in.size();
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream_.avail_out = out.size();
    const lzma_ret result = lzma_code(&stream_, in.empty() ? LZMA_FINISH : LZMA_RUN);
    Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out,
              result == LZMA_STREAM_END};
    if (result == LZMA_MEM_ERROR) throw std::bad_alloc();
    keep_tail(in.first(step.consumed));
    const bool is_stuck = result == LZMA_OK || result == LZMA_BUF_ERROR;
    if (is_stuck && in.empty() && step.produced == 0 && ends_in_garbage()) {
      step.fault = fault_of(LZMA_FORMAT_ERROR);
    }
    if (result != LZMA_OK && result != LZMA_STREAM_END && result != LZMA_BUF_ERROR) {
      step.fault = fault_of(result);
    }
    return step;
  }

 private:
  void keep_tail(std::span<const std::byte> consumed) {
    const auto last = consumed.last(std::min(consumed.size(), tail_bytes));
    tail_.insert(tail_.end(), last.begin(), last.end());
    if (tail_.size() > tail_bytes) {
      tail_.erase(tail_.begin(), tail_.end() - static_cast<std::ptrdiff_t>(tail_bytes));
    }
  }

  // A stream's end, then fewer bytes than a stream's header has, which begin none: liblzma waits
  // for the rest of that header.
  [[nodiscard]] bool ends_in_garbage() const {
    constexpr std::array<std::byte, 2> footer_magic = {std::byte{'Y'}, std::byte{'Z'}};
    const auto footer =
        std::find_end(tail_.begin(), tail_.end(), footer_magic.begin(), footer_magic.end());
    if (footer == tail_.end()) return false;
    const auto behind =
        std::find_if(footer + 2, tail_.end(), [](std::byte b) { return b != std::byte{0}; });
    return behind != tail_.end() && *behind != std::byte{0xfd};
  }

  void open() {
    tail_.clear();
    lzma_mt options{};
    options.flags = LZMA_CONCATENATED | LZMA_TELL_UNSUPPORTED_CHECK;
    options.threads = std::max(1U, std::thread::hardware_concurrency());
    options.memlimit_threading = memory_for_threads;
    options.memlimit_stop = most_memory;
    if (lzma_stream_decoder_mt(&stream_, &options) != LZMA_OK) throw std::bad_alloc();
  }

  static constexpr std::size_t tail_bytes = 13;  // the end of a footer, a header but for a byte
  lzma_stream stream_ = LZMA_STREAM_INIT;
  std::vector<std::byte> tail_;  // what was consumed last
};

// A file that is read from its end to its start, stream by stream: what was read last also serves
// the streams before it. A file of nothing but empty streams (32 bytes each) would else be read
// once for every 2 KiB of it.
class SeekBackWindow {
 public:
  explicit SeekBackWindow(const io::File& file) : file_(file), buffer_(64 * io::KiB) {}

  // Bytes from `position` on, valid until the next call; none at the end of the file.
  std::span<const std::byte> at(std::uint64_t position) {
    if (position < begin_ || position - begin_ >= count_) {
      const std::uint64_t before = position < begin_ ? buffer_.size() * 3 / 4 : 0;
      begin_ = position - std::min(position, before);
      count_ = file_.read_at(begin_, buffer_);
    }
    const std::uint64_t skipped = std::min<std::uint64_t>(position - begin_, count_);
    return std::span(buffer_).first(count_).subspan(skipped);
  }

 private:
  const io::File& file_;
  std::vector<std::byte> buffer_;
  std::uint64_t begin_ = 0;
  std::size_t count_ = 0;
};

}  // namespace

std::unique_ptr<Codec> make_xz_codec() { return std::make_unique<XzCodec>(); }

std::optional<std::uint64_t> xz_content_size(const io::File& file) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_index* index = nullptr;
  if (lzma_file_info_decoder(&stream, &index, most_index_memory, file.size()) != LZMA_OK) {
    throw std::bad_alloc();
  }
  SeekBackWindow window(file);
  std::uint64_t position = 0;
  const auto deadline = std::chrono::steady_clock::now() + most_index_time;
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK) {
    if (stream.avail_in == 0) {
      const auto bytes = window.at(position);
      position += bytes.size();
      stream.next_in = reinterpret_cast<const std::uint8_t*>(bytes.data());
      stream.avail_in = bytes.size();
    }
    result = lzma_code(&stream, stream.avail_in == 0 ? LZMA_FINISH : LZMA_RUN);
    if (result == LZMA_SEEK_NEEDED && std::chrono::steady_clock::now() < deadline) {
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
