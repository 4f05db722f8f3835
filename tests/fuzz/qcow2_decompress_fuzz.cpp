// A compressed cluster. The first byte chooses the compression and the cluster size; the rest is
// the stream. Whatever it is, the same bytes come out twice, and nothing outside the cluster is
// written to.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "formats/images/qcow2/decompress.hpp"

namespace {

using formats::qcow2::Compression;

constexpr std::size_t guard = 64;
constexpr std::byte filling{0xa5};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Compression compression = (data[0] & 1) != 0 ? Compression::zstd : Compression::deflate;
  const std::size_t cluster_size = std::size_t{512} << (data[0] >> 1) % 13;
  const auto stream = std::as_bytes(std::span(data, size).subspan(1));
  std::vector<std::byte> first(cluster_size + guard, filling);
  std::vector<std::byte> second(cluster_size + guard, filling);
  const bool good = decompress(compression, stream, std::span(first).first(cluster_size));
  if (decompress(compression, stream, std::span(second).first(cluster_size)) != good) std::abort();
  if (good && first != second) std::abort();
  for (const auto* memory : {&first, &second}) {
    if (!std::all_of(memory->end() - guard, memory->end(),
                     [](std::byte byte) { return byte == filling; })) {
      std::abort();
    }
  }
  return 0;
}
