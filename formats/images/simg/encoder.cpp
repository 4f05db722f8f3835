#include "formats/images/simg/encoder.hpp"

#include <algorithm>
#include <limits>

#include "io/error.hpp"

namespace formats::simg {
namespace {

constexpr std::uint64_t content_at_once = 4 * io::MiB;
constexpr std::uint16_t written_header_bytes = 28;
constexpr std::uint16_t written_chunk_header_bytes = 12;
constexpr std::uint16_t raw_chunk = 0xCAC1;
constexpr std::uint16_t fill_chunk = 0xCAC2;
// A shorter run is stored: readers keep each chunk in memory.
constexpr std::size_t fewest_fill_blocks = 16;

template <typename Number>
void append(std::vector<std::byte>& bytes, Number value) {
  for (std::size_t i = 0; i < sizeof(value); ++i) {
    bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}

using Bytes = std::span<const std::byte>;

bool is_fill(Bytes block) { return std::equal(block.begin() + 4, block.end(), block.begin()); }

class SimgEncoder final : public streams::Encoder {
 public:
  [[nodiscard]] std::uint64_t block_bytes() const override { return content_at_once; }
  [[nodiscard]] std::vector<std::byte> begin() const override { return header(); }
  [[nodiscard]] std::vector<std::byte> begin_when_ended() const override { return header(); }

  [[nodiscard]] streams::EncodedBlock encode(Bytes content,
                                             const io::StopFlag* stop) const override {
    if (stop != nullptr) io::throw_if_stopped(*stop, "simg");
    streams::EncodedBlock made;
    made.content_bytes = content.size();
    std::vector<std::byte> padded;
    if (content.size() % written_block_bytes != 0) {
      padded.assign(content.begin(), content.end());
      padded.resize(io::align_up(content.size(), written_block_bytes));
      content = padded;
    }
    const std::size_t blocks = content.size() / written_block_bytes;
    std::size_t raw_begin = 0;
    for (std::size_t at = 0; at < blocks;) {
      const std::size_t run = fill_run(content, at, blocks);
      if (run < fewest_fill_blocks && run < blocks) {
        at += std::max<std::size_t>(run, 1);
        continue;
      }
      add_raw(made, content, raw_begin, at);
      add_fill(made, block_at(content, at), run);
      at += run;
      raw_begin = at;
    }
    add_raw(made, content, raw_begin, blocks);
    return made;
  }

  void note(const streams::EncodedBlock& block) override {
    chunks_ += block.listed_bytes;
    blocks_ += io::align_up(block.content_bytes, written_block_bytes) / written_block_bytes;
    if (blocks_ > std::numeric_limits<std::uint32_t>::max()) {
      throw io::Error(io::ErrorKind::unsupported, "simg",
                      "an Android sparse image has at most 16 TiB");
    }
  }

  [[nodiscard]] std::vector<std::byte> end() override { return {}; }

 private:
  static Bytes block_at(Bytes content, std::size_t index) {
    return content.subspan(index * written_block_bytes, written_block_bytes);
  }

  // How many blocks from `at` on are one pattern.
  static std::size_t fill_run(Bytes content, std::size_t at, std::size_t blocks) {
    const Bytes first = block_at(content, at);
    if (!is_fill(first)) return 0;
    std::size_t end = at + 1;
    while (end < blocks && std::equal(first.begin(), first.end(), block_at(content, end).begin())) {
      ++end;
    }
    return end - at;
  }

  static void begin_chunk(streams::EncodedBlock& made, std::uint16_t type, std::size_t blocks,
                          std::size_t payload) {
    append(made.bytes, type);
    append(made.bytes, std::uint16_t{0});
    append(made.bytes, static_cast<std::uint32_t>(blocks));
    append(made.bytes, static_cast<std::uint32_t>(written_chunk_header_bytes + payload));
    ++made.listed_bytes;
  }

  static void add_raw(streams::EncodedBlock& made, Bytes content, std::size_t begin,
                      std::size_t end) {
    if (begin == end) return;
    const Bytes data =
        content.subspan(begin * written_block_bytes, (end - begin) * written_block_bytes);
    begin_chunk(made, raw_chunk, end - begin, data.size());
    made.bytes.insert(made.bytes.end(), data.begin(), data.end());
  }

  static void add_fill(streams::EncodedBlock& made, Bytes block, std::size_t count) {
    begin_chunk(made, fill_chunk, count, 4);
    made.bytes.insert(made.bytes.end(), block.begin(), block.begin() + 4);
  }

  [[nodiscard]] std::vector<std::byte> header() const {
    std::vector<std::byte> bytes;
    append(bytes, std::uint32_t{0xED26FF3A});
    append(bytes, std::uint16_t{1});
    append(bytes, std::uint16_t{0});
    append(bytes, written_header_bytes);
    append(bytes, written_chunk_header_bytes);
    append(bytes, static_cast<std::uint32_t>(written_block_bytes));
    append(bytes, static_cast<std::uint32_t>(blocks_));
    append(bytes, static_cast<std::uint32_t>(chunks_));
    append(bytes, std::uint32_t{0});  // no checksum of all
    return bytes;
  }

  std::uint64_t blocks_ = 0;
  std::uint64_t chunks_ = 0;
};

}  // namespace

std::unique_ptr<streams::Encoder> make_encoder() { return std::make_unique<SimgEncoder>(); }

}  // namespace formats::simg
