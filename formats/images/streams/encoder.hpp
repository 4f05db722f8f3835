// Encodes content as a compressed stream, block by block: each block on its own, so that many are
// encoded at once, and the same content gives the same bytes however many threads there are.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/observer.hpp"

namespace formats::streams {

struct EncodedBlock {
  std::vector<std::byte> bytes;
  std::uint64_t content_bytes = 0;
  std::uint64_t listed_bytes = 0;  // what an index says of `bytes`, or counts; 0: there is none
};

class Encoder {
 public:
  virtual ~Encoder() = default;

  // Content of all blocks but the last one, in bytes.
  [[nodiscard]] virtual std::uint64_t block_bytes() const = 0;
  // What the stream begins with.
  [[nodiscard]] virtual std::vector<std::byte> begin() const = 0;
  // On any thread; gives up (io::ErrorKind::cancelled) soon after `stop` is set, which may be null.
  [[nodiscard]] virtual EncodedBlock encode(std::span<const std::byte> content,
                                            const io::StopFlag* stop) const = 0;
  // A block that was appended to the stream; in order, on one thread.
  virtual void note(const EncodedBlock& block) = 0;
  // What takes the place of begin(), as long as that, when all is known; empty: it stays. Such a
  // format needs a file.
  [[nodiscard]] virtual std::vector<std::byte> begin_when_ended() const { return {}; }
  // What the stream ends with.
  [[nodiscard]] virtual std::vector<std::byte> end() = 0;
};

// gzip (RFC 1952), a member for each block. `level` 1 to 12, as libdeflate has it.
constexpr int highest_gzip_level = 12;
[[nodiscard]] std::unique_ptr<Encoder> make_gzip_encoder(int level);

// xz (tukaani.org/xz/xz-file-format.txt): one stream with an index, its blocks' headers with their
// sizes, so that xz decodes them in threads. CRC64, as xz writes. `level` 1 to 9; above 6, where xz
// only takes more memory, it takes more time. An encoder at work takes about 100 MiB.
constexpr int highest_xz_level = 9;
[[nodiscard]] std::unique_ptr<Encoder> make_xz_encoder(int level);

// lz4 (lz4_Frame_format.md): one frame of independent blocks, each with a checksum. `level` 1 to
// 12; from 3 on its slower compression.
constexpr int highest_lz4_level = 12;
[[nodiscard]] std::unique_ptr<Encoder> make_lz4_encoder(int level);

}  // namespace formats::streams
