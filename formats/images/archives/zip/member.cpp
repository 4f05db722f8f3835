#include "formats/images/archives/zip/member.hpp"

#include <string_view>

#include <fmt/format.h>

#include "formats/images/archives/member_stream.hpp"
#include "formats/images/archives/zip/deflate64.hpp"
#include "formats/images/streams/bzip2.hpp"
#include "formats/images/streams/decoder.hpp"
#include "formats/images/streams/file_stream.hpp"
#include "formats/images/streams/gzip.hpp"
#include "formats/images/streams/lzma.hpp"
#include "formats/images/streams/xz.hpp"
#include "formats/images/zst/zstd.hpp"
#include "io/error.hpp"

namespace formats::zip {
namespace {

namespace method {
constexpr std::uint16_t deflate = 8;
constexpr std::uint16_t deflate64 = 9;
constexpr std::uint16_t bzip2 = 12;
constexpr std::uint16_t lzma = 14;
constexpr std::uint16_t zstd = 93;
constexpr std::uint16_t xz = 95;
}  // namespace method

// Null: it is stored, or packed in a way that is not known here.
std::unique_ptr<streams::Codec> codec_of(const Member& member) {
  switch (member.method) {
    case method::deflate:
      return streams::make_deflate_codec();
    case method::deflate64:
      return make_deflate64_codec();
    case method::bzip2:
      return streams::make_bzip2_codec();
    case method::lzma:
      return streams::make_zip_lzma_codec(member.size);
    case method::zstd:
      return zst::make_zstd_codec();
    case method::xz:
      return streams::make_xz_codec();
    default:
      return nullptr;
  }
}

}  // namespace

void refuse_unreadable(const io::File& file, const Member& member) {
  std::string why;
  if (member.encrypted) {
    why = "is encrypted";
  } else if (member.method != stored && codec_of(member) == nullptr) {
    why = fmt::format("is packed by method {}, which imgtool does not read", member.method);
  }
  if (why.empty()) return;
  throw io::Error::refusal(
      file.path(), fmt::format("its member {} {}: 7z x -so unpacks it to a pipe that imgtool reads",
                               member.name, why));
}

std::unique_ptr<io::ByteStream> open_member(const io::File& file, const Member& member,
                                            io::ByteRange data, const std::string& name,
                                            const io::StopFlag* stop) {
  refuse_unreadable(file, member);
  std::unique_ptr<io::ByteStream> content =
      std::make_unique<streams::FileStream>(file.window(data, name), stop);
  if (auto codec = codec_of(member)) {
    content = std::make_unique<streams::Decoder>(std::move(codec), std::move(content), name);
  }
  auto check = archives::make_crc32_check(member.crc, file.path(), member.listed_at);
  return std::make_unique<archives::MemberStream>(std::move(content), member.size, std::move(check),
                                                  name);
}

}  // namespace formats::zip
