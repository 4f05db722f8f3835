// What differs between the compressions: gzip, xz, bzip2, zstd. What they share, such as members
// that follow one another, truncation and garbage behind the end, is the Decoder's.
//
// A codec belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "formats/images/format.hpp"

namespace formats::streams {

class Codec {
 public:
  struct Step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    bool member_ended = false;
    // What is wrong with the data, as the end of "the gzip data here ..."; empty: nothing.
    std::string fault{};
  };

  virtual ~Codec() = default;

  // For messages: "gzip".
  [[nodiscard]] virtual std::string_view name() const = 0;

  // Whether a member can begin with `next`, which is most_magic_bytes unless the input ends.
  static constexpr std::size_t most_magic_bytes = 24;
  [[nodiscard]] virtual bool can_begin(std::span<const std::byte> next) const = 0;

  // A member begins with `next`, of which nothing is consumed.
  virtual void begin(std::span<const std::byte> next) = 0;

  // Decodes some of `in` into `out`, which is never empty. An empty `in` is the input's end. No
  // progress on data means that there is too little of it.
  virtual Step step(std::span<const std::byte> in, std::span<std::byte> out) = 0;

  // The input ended behind a member. What is wrong with that, as a fault of a step.
  [[nodiscard]] virtual std::string end() const { return {}; }
};

// For one of the formats that are streams.
std::unique_ptr<Codec> make_codec(Format format);

// Which stream a file is that starts with these bytes; nothing: none.
[[nodiscard]] std::optional<Format> recognise(std::span<const std::byte> start);

}  // namespace formats::streams
