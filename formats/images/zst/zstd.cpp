#include "formats/images/zst/zstd.hpp"

#include <algorithm>
#include <new>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "formats/images/zst/frame.hpp"
#include "formats/images/zst/label.hpp"
#include "formats/images/zst/seek_table.hpp"

namespace formats::zst {
namespace {

struct FreeDecoder {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
using DecoderContext = std::unique_ptr<ZSTD_DCtx, FreeDecoder>;

struct FreeEncoder {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
using EncoderContext = std::unique_ptr<ZSTD_CCtx, FreeEncoder>;

std::string fault_of(std::size_t result) {
  if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge) {
    return "needs more than 128 MiB of memory to be decoded (zstd --long=28 or more)";
  }
  return std::string("is damaged: ") + ZSTD_getErrorName(result);
}

class ZstdCodec final : public streams::Codec {
 public:
  ZstdCodec() : context_(ZSTD_createDCtx()) {
    if (!context_) throw std::bad_alloc();
  }

  [[nodiscard]] std::string_view name() const override { return "zstd"; }

  [[nodiscard]] bool can_begin(std::span<const std::byte> next) const override {
    return is_frame_magic(next);
  }

  void begin(std::span<const std::byte> next) override {
    ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only);
    const auto label = parse_label(next.first(std::min(next.size(), label_bytes)));
    if (!label && !is_seek_table(next)) return;
    // A file of ours ends here, or another one begins: what was there has to be whole.
    if (fault_.empty()) fault_ = end();
    from_label_ = 0;
    labelled_ = label;
  }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    const std::size_t result = ZSTD_decompressStream(context_.get(), &output, &input);
    if (!fault_.empty()) return {0, 0, false, fault_};
    if (ZSTD_isError(result) != 0) return {input.pos, output.pos, false, fault_of(result)};
    from_label_ += output.pos;
    if (from_label_ > labelled_.value_or(from_label_)) return {0, 0, false, end()};
    return {input.pos, output.pos, result == 0};
  }

  // A file of ours that was cut between two frames looks like a whole one without its label. What
  // stands behind its seek table is another file's, and is content as well.
  [[nodiscard]] std::string end() const override {
    if (from_label_ == labelled_.value_or(from_label_)) return {};
    return fmt::format("holds {} bytes, not the {} that its label says",
                       from_label_ > *labelled_ ? "more" : fmt::to_string(from_label_), *labelled_);
  }

 private:
  DecoderContext context_;
  std::optional<std::uint64_t> labelled_;  // content that the last label tells
  std::uint64_t from_label_ = 0;           // content since then
  std::string fault_;
};

}  // namespace

std::unique_ptr<streams::Codec> make_zstd_codec() { return std::make_unique<ZstdCodec>(); }

// Contexts are made once per thread: making one costs more than decoding a small frame.
std::string decode_frame(std::span<const std::byte> frame, std::span<std::byte> out) {
  thread_local const DecoderContext context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  const auto header = parse_frame_header(frame);
  if (!header) return "does not begin as a zstd frame does";
  if (header->content_size && *header->content_size != out.size()) {
    return "has another length than the seek table says";
  }
  const std::size_t length = ZSTD_findFrameCompressedSize(frame.data(), frame.size());
  if (ZSTD_isError(length) != 0) return std::string("is damaged: ") + ZSTD_getErrorName(length);
  if (length != frame.size()) return "ends before the place that the seek table says";
  const std::size_t count =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(count) != 0) return std::string("is damaged: ") + ZSTD_getErrorName(count);
  if (count != out.size()) return "has less content than the seek table says";
  return "";
}

std::vector<std::byte> encode_frame(std::span<const std::byte> content, int level) {
  thread_local const EncoderContext context(ZSTD_createCCtx());
  // Room for the worst case is asked of the kernel once, not for each frame.
  thread_local std::vector<std::byte> room;
  if (!context) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  const std::size_t longest = ZSTD_compressBound(content.size());
  if (room.size() < longest) room.resize(longest);
  const std::size_t length =
      ZSTD_compress2(context.get(), room.data(), room.size(), content.data(), content.size());
  if (ZSTD_isError(length) != 0) throw std::bad_alloc();  // there is room; memory may be short
  const auto frame = std::span(room).first(length);
  return {frame.begin(), frame.end()};
}

}  // namespace formats::zst
