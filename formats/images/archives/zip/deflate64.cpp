#include "formats/images/archives/zip/deflate64.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "io/byte_range.hpp"

namespace formats::zip {
namespace {

constexpr unsigned longest_code = 15;
constexpr unsigned quick_bits = 10;
constexpr std::size_t most_symbols = 288;
constexpr unsigned no_symbol = 0xffff;

// A canonical Huffman code (RFC 1951, 3.2.2). Short codes are found by one look, others bit by bit.
class HuffmanCode {
 public:
  // False: more codes than there is room for, or, unless it is the only one, fewer.
  bool build(std::span<const std::uint8_t> lengths) {
    counts_.fill(0);
    for (const std::uint8_t length : lengths) ++counts_[length];
    const auto used = lengths.size() - counts_[0];
    counts_[0] = 0;
    int left = 1;
    for (unsigned length = 1; length <= longest_code; ++length) {
      left = 2 * left - counts_[length];
      if (left < 0) return false;
    }
    if (left > 0 && used > 1) return false;
    std::array<std::uint16_t, longest_code + 2> next{};
    for (unsigned length = 1; length <= longest_code; ++length) {
      next[length + 1] = static_cast<std::uint16_t>(next[length] + counts_[length]);
    }
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      if (lengths[symbol] != 0)
        symbols_[next[lengths[symbol]]++] = static_cast<std::uint16_t>(symbol);
    }
    fill_quick();
    return true;
  }

  struct Found {
    unsigned symbol = no_symbol;
    unsigned bits = 0;
  };
  // The symbol whose code the lowest bits of `bits` begin with; longest_code of them are valid, or
  // zeros behind the end of the input.
  [[nodiscard]] Found find(std::uint64_t bits) const {
    const Quick quick = quick_[bits & ((1U << quick_bits) - 1)];
    if (quick.bits != 0) return {quick.symbol, quick.bits};
    return find_slowly(bits);
  }

 private:
  struct Quick {
    std::uint16_t symbol = 0;
    std::uint16_t bits = 0;  // 0: the code is longer
  };

  [[nodiscard]] Found find_slowly(std::uint64_t bits) const {
    unsigned code = 0;
    unsigned first = 0;
    unsigned index = 0;
    for (unsigned length = 1; length <= longest_code; ++length) {
      code |= static_cast<unsigned>(bits & 1U);
      bits >>= 1U;
      const unsigned count = counts_[length];
      if (code < first + count) return {symbols_[index + (code - first)], length};
      index += count;
      first = (first + count) << 1U;
      code <<= 1U;
    }
    return {};
  }

  void fill_quick() {
    quick_.fill({});
    for (unsigned bits = 0; bits < quick_.size(); ++bits) {
      const Found found = find_slowly(bits);
      if (found.symbol == no_symbol || found.bits > quick_bits) continue;
      quick_[bits] = {static_cast<std::uint16_t>(found.symbol),
                      static_cast<std::uint16_t>(found.bits)};
    }
  }

  std::array<std::uint16_t, longest_code + 1> counts_{};
  std::array<std::uint16_t, most_symbols> symbols_{};
  std::array<Quick, 1U << quick_bits> quick_{};
};

struct Range {
  std::uint32_t base;
  std::uint32_t extra_bits;
};

constexpr std::array<Range, 29> length_ranges = {
    {{3, 0},  {4, 0},  {5, 0},  {6, 0},   {7, 0},   {8, 0},   {9, 0},   {10, 0},  {11, 1}, {13, 1},
     {15, 1}, {17, 1}, {19, 2}, {23, 2},  {27, 2},  {31, 2},  {35, 3},  {43, 3},  {51, 3}, {59, 3},
     {67, 4}, {83, 4}, {99, 4}, {115, 4}, {131, 5}, {163, 5}, {195, 5}, {227, 5}, {3, 16}}};

constexpr std::array<Range, 32> distance_ranges = [] {
  std::array<Range, 32> ranges{};
  std::uint32_t base = 1;
  for (std::uint32_t code = 0; code < ranges.size(); ++code) {
    const std::uint32_t extra = code < 4 ? 0 : code / 2 - 1;
    ranges[code] = {base, extra};
    base += 1U << extra;
  }
  return ranges;
}();
static_assert(distance_ranges[31].base == 49153 && distance_ranges[31].extra_bits == 14);

constexpr std::size_t history_bytes = 64 * io::KiB;
constexpr std::size_t longest_match = 65538;
constexpr std::size_t room_bytes = 3 * history_bytes + longest_match;
constexpr std::size_t most_pending = 64 * io::KiB;
// A block's header with three codes is shorter, and so are the bits of one match.
constexpr std::size_t longest_header = 1024;
constexpr std::size_t longest_step = 16;
constexpr unsigned end_of_block = 256;

class Deflate64Codec final : public streams::Codec {
 public:
  [[nodiscard]] std::string_view name() const override { return "Deflate64"; }
  [[nodiscard]] bool can_begin(std::span<const std::byte>) const override { return !begun_; }
  void begin(std::span<const std::byte>) override { begun_ = true; }

  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    Step step;
    input_ended_ = in.empty();
    step.consumed = take(in);
    // What is long enough to be decoded without looking for the input's end at each bit.
    while (fault_.empty() && given_ == end_ && !done_ && enough_input()) advance();
    if (!fault_.empty()) {
      step.fault = "is damaged: " + std::string(fault_);
      return step;
    }
    step.produced = std::min(out.size(), end_ - given_);
    std::memcpy(out.data(), room_.data() + given_, step.produced);
    given_ += step.produced;
    if (!done_ || given_ < end_) return step;
    step.member_ended = true;
    if (bits_count_ / 8 + pending_.size() - pending_at_ > 0) {
      step.fault = "ends, but something follows";
    }
    return step;
  }

 private:
  enum class State : std::uint8_t { header, stored, coded };

  // --- input --------------------------------------------------------------------------------

  std::size_t take(std::span<const std::byte> in) {
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(pending_at_));
    pending_at_ = 0;
    const std::size_t count = std::min(in.size(), most_pending - pending_.size());
    pending_.insert(pending_.end(), in.begin(), in.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }

  [[nodiscard]] bool enough_input() const {
    const std::size_t left = pending_.size() - pending_at_ + bits_count_ / 8;
    if (state_ == State::header && last_block_) return true;
    if (input_ended_) return left > 0 || bits_count_ > 0 || state_ == State::stored;
    return left >= (state_ == State::header ? longest_header : longest_step);
  }

  void fill_bits() {
    while (bits_count_ <= 56 && pending_at_ < pending_.size()) {
      bits_ |= static_cast<std::uint64_t>(pending_[pending_at_++]) << bits_count_;
      bits_count_ += 8;
    }
  }

  // At most 32 of them; what lies behind the end of the input is an error.
  std::uint32_t take_bits(unsigned count) {
    if (bits_count_ < count) fill_bits();
    if (bits_count_ < count) {
      fault_ = "it ends in the middle of a block";
      return 0;
    }
    const auto value = static_cast<std::uint32_t>(bits_ & ((std::uint64_t{1} << count) - 1));
    bits_ >>= count;
    bits_count_ -= count;
    return value;
  }

  unsigned take_symbol(const HuffmanCode& code) {
    if (bits_count_ < longest_code) fill_bits();
    const HuffmanCode::Found found = code.find(bits_);
    if (found.symbol == no_symbol || found.bits > bits_count_) {
      fault_ = found.symbol == no_symbol ? "there is no such code" : "it ends in a code";
      return no_symbol;
    }
    bits_ >>= found.bits;
    bits_count_ -= found.bits;
    return found.symbol;
  }

  // --- blocks -------------------------------------------------------------------------------

  void advance() {
    if (end_ + longest_match > room_.size()) slide();
    if (state_ == State::header) {
      if (last_block_) {
        done_ = true;
        bits_count_ -= bits_count_ % 8;  // to the next byte, which is none of ours
      } else {
        read_header();
      }
    } else if (state_ == State::stored) {
      copy_stored();
    } else {
      decode_symbols();
    }
  }

  // Keeps what matches can reach.
  void slide() {
    const std::size_t keep = std::min(end_, history_bytes);
    std::memmove(room_.data(), room_.data() + (end_ - keep), keep);
    end_ = given_ = keep;
  }

  void read_header() {
    last_block_ = take_bits(1) != 0;
    const std::uint32_t kind = take_bits(2);
    if (!fault_.empty()) return;
    if (kind == 0) {
      begin_stored();
    } else if (kind == 1) {
      begin_fixed();
    } else if (kind == 2) {
      begin_dynamic();
    } else {
      fault_ = "there is no such kind of block";
    }
  }

  void begin_stored() {
    (void)take_bits(bits_count_ % 8);
    const std::uint32_t length = take_bits(16);
    const std::uint32_t inverse = take_bits(16);
    if (fault_.empty() && length != (inverse ^ 0xffffU)) fault_ = "the length of a block is wrong";
    stored_left_ = length;
    state_ = State::stored;
  }

  void copy_stored() {
    while (stored_left_ > 0 && bits_count_ >= 8) {
      put(static_cast<std::byte>(take_bits(8)));
      --stored_left_;
    }
    const std::size_t count =
        std::min<std::size_t>({stored_left_, pending_.size() - pending_at_, room_.size() - end_});
    if (count == 0 && stored_left_ > 0 && input_ended_) fault_ = "it ends in a stored block";
    std::memcpy(room_.data() + end_, pending_.data() + pending_at_, count);
    pending_at_ += count;
    end_ += count;
    stored_left_ -= static_cast<std::uint32_t>(count);
    if (stored_left_ == 0) state_ = State::header;
  }

  void begin_fixed() {
    std::array<std::uint8_t, most_symbols> lengths{};
    std::fill(lengths.begin(), lengths.begin() + 144, std::uint8_t{8});
    std::fill(lengths.begin() + 144, lengths.begin() + 256, std::uint8_t{9});
    std::fill(lengths.begin() + 256, lengths.begin() + 280, std::uint8_t{7});
    std::fill(lengths.begin() + 280, lengths.end(), std::uint8_t{8});
    (void)literals_.build(lengths);
    std::array<std::uint8_t, 32> five{};
    five.fill(5);
    (void)distances_.build(five);
    state_ = State::coded;
  }

  void begin_dynamic() {
    constexpr std::array<std::uint8_t, 19> order = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                    11, 4,  12, 3, 13, 2, 14, 1, 15};
    const std::size_t literal_count = take_bits(5) + 257;
    const std::size_t distance_count = take_bits(5) + 1;
    const std::size_t length_count = take_bits(4) + 4;
    std::array<std::uint8_t, 19> of_lengths{};
    for (std::size_t i = 0; i < length_count; ++i) {
      of_lengths[order[i]] = static_cast<std::uint8_t>(take_bits(3));
    }
    HuffmanCode code;
    if (fault_.empty() && (literal_count > 286 || !code.build(of_lengths))) {
      fault_ = "the code of a block's codes is impossible";
    }
    std::array<std::uint8_t, 286 + 32> lengths{};
    read_lengths(code, std::span(lengths).first(literal_count + distance_count));
    if (!fault_.empty()) return;
    const auto all = std::span<const std::uint8_t>(lengths);
    if (lengths[end_of_block] == 0 || !literals_.build(all.first(literal_count)) ||
        !distances_.build(all.subspan(literal_count, distance_count))) {
      fault_ = "the codes of a block are impossible";
    }
    state_ = State::coded;
  }

  void read_lengths(const HuffmanCode& code, std::span<std::uint8_t> lengths) {
    for (std::size_t at = 0; at < lengths.size() && fault_.empty();) {
      const unsigned symbol = take_symbol(code);
      if (symbol < 16) {
        lengths[at++] = static_cast<std::uint8_t>(symbol);
        continue;
      }
      if (symbol == no_symbol) return;
      if (symbol == 16 && at == 0) {
        fault_ = "a length is repeated before the first";
        return;
      }
      const std::uint8_t value = symbol == 16 ? lengths[at - 1] : std::uint8_t{0};
      const std::size_t count = symbol == 16   ? take_bits(2) + 3
                                : symbol == 17 ? take_bits(3) + 3
                                               : take_bits(7) + 11;
      if (count > lengths.size() - at) {
        fault_ = "a block has more codes than there are symbols";
        return;
      }
      std::fill_n(lengths.begin() + static_cast<std::ptrdiff_t>(at), count, value);
      at += count;
    }
  }

  // As many as there is input and room for.
  void decode_symbols() {
    while (fault_.empty() && end_ + longest_match <= room_.size() && enough_input()) {
      const unsigned symbol = take_symbol(literals_);
      if (symbol < end_of_block) {
        put(static_cast<std::byte>(symbol));
      } else if (symbol == end_of_block) {
        state_ = State::header;
        return;
      } else if (symbol != no_symbol) {
        copy_match(symbol - end_of_block - 1);
      }
    }
  }

  void copy_match(unsigned length_code) {
    if (length_code >= length_ranges.size()) {
      fault_ = "there is no such length";
      return;
    }
    const Range of_length = length_ranges[length_code];
    const std::size_t length = of_length.base + take_bits(of_length.extra_bits);
    const unsigned code = take_symbol(distances_);
    if (code >= distance_ranges.size()) return;  // a fault
    const std::size_t distance =
        distance_ranges[code].base + take_bits(distance_ranges[code].extra_bits);
    if (!fault_.empty()) return;
    if (distance > end_) {
      fault_ = "a match begins before the content does";
      return;
    }
    for (std::size_t i = 0; i < length; ++i, ++end_) room_[end_] = room_[end_ - distance];
  }

  void put(std::byte byte) { room_[end_++] = byte; }

  bool begun_ = false;
  std::string_view fault_;
  State state_ = State::header;
  bool last_block_ = false;
  bool done_ = false;
  std::uint32_t stored_left_ = 0;
  HuffmanCode literals_;
  HuffmanCode distances_;

  std::vector<std::byte> pending_;
  std::size_t pending_at_ = 0;
  bool input_ended_ = false;
  std::uint64_t bits_ = 0;
  unsigned bits_count_ = 0;

  std::vector<std::byte> room_ = std::vector<std::byte>(room_bytes);
  std::size_t given_ = 0;  // up to here the caller has it
  std::size_t end_ = 0;
};

}  // namespace

std::unique_ptr<streams::Codec> make_deflate64_codec() {
  return std::make_unique<Deflate64Codec>();
}

}  // namespace formats::zip
