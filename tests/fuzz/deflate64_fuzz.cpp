// A Deflate64 stream. The same bytes in other pieces have to give the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "formats/images/archives/zip/deflate64.hpp"

namespace {

struct Answer {
  std::vector<std::byte> content;
  bool ended = false;
  bool fault = false;
};

Answer decode(std::span<const std::byte> in, std::size_t in_piece, std::size_t out_piece) {
  const auto codec = formats::zip::make_deflate64_codec();
  codec->begin(in);
  Answer answer;
  std::vector<std::byte> out(out_piece);
  while (!answer.ended && !answer.fault && answer.content.size() < (std::size_t{1} << 20)) {
    const auto piece = in.first(std::min(in.size(), in_piece));
    const auto step = codec->step(piece, out);
    if (step.consumed > piece.size() || step.produced > out.size()) std::abort();
    in = in.subspan(step.consumed);
    answer.content.insert(answer.content.end(), out.begin(),
                          out.begin() + static_cast<std::ptrdiff_t>(step.produced));
    answer.ended = step.member_ended;
    answer.fault = !step.fault.empty();
    if (piece.empty() && step.produced == 0) break;
  }
  answer.content.resize(std::min(answer.content.size(), std::size_t{1} << 20));
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const Answer whole = decode(bytes, size + 1, std::size_t{1} << 16);
  const Answer pieces = decode(bytes, 7, 1000);
  // A fault may show before or after what stands before it was given.
  if (!whole.fault && !pieces.fault && whole.content != pieces.content) std::abort();
  return 0;
}
