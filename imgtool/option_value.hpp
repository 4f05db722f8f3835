// Words of the command line made into values: strictly, or not at all.
//
// The parsers throw UsageError with a sentence about the word alone ("'12Q' is not a size: ...");
// CommandLine puts the option's name in front.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/digest.hpp"

namespace imgtool {

// Bytes: a number, maybe with a fraction, maybe followed by K M G T P or KiB MiB ... (powers of
// 1024) or kB MB GB TB PB (powers of 1000). Has to be a whole number of bytes below 2^63.
std::uint64_t parse_size(std::string_view word);

// Decimal digits only, from `least` to `most`.
std::uint64_t parse_count(std::string_view word, std::uint64_t least, std::uint64_t most);

// What a digest has to be: "sha256:9f86d081...". The hexadecimal digits come back in lower case.
struct ExpectedDigest {
  io::DigestAlgorithm algorithm;
  std::string hex;
};
ExpectedDigest parse_digest(std::string_view word);

// What an option takes and where it goes. Made by the functions below; each keeps a reference to
// the variable, whose value at that moment is the default that --help shows.
struct OptionValue {
  std::string placeholder = {};   // "SIZE"; empty: the option is a flag
  std::string default_text = {};  // empty: none worth telling
  bool repeatable = false;
  std::function<void(const std::string& word)> set;
};

OptionValue flag_into(bool& variable);
OptionValue text_into(std::string& variable, std::string placeholder);
OptionValue text_into(std::optional<std::string>& variable, std::string placeholder);
OptionValue texts_into(std::vector<std::string>& variable, std::string placeholder);
OptionValue size_into(std::uint64_t& variable);
OptionValue size_into(std::optional<std::uint64_t>& variable);
OptionValue digest_into(std::optional<ExpectedDigest>& variable);

// `set` for a closed list of words; throws UsageError that lists them all.
std::size_t parse_choice(std::string_view word, const std::vector<std::string>& choices);
std::string join(const std::vector<std::string>& words, std::string_view separator);

template <typename Unsigned>
OptionValue count_into(Unsigned& variable, std::uint64_t least,
                       std::uint64_t most = std::numeric_limits<Unsigned>::max()) {
  return {.placeholder = "N",
          .default_text = std::to_string(variable),
          .set = [&variable, least, most](const std::string& word) {
            variable = static_cast<Unsigned>(parse_count(word, least, most));
          }};
}

template <typename Unsigned>
OptionValue count_into(std::optional<Unsigned>& variable, std::uint64_t least,
                       std::uint64_t most = std::numeric_limits<Unsigned>::max()) {
  return {.placeholder = "N", .set = [&variable, least, most](const std::string& word) {
            variable = static_cast<Unsigned>(parse_count(word, least, most));
          }};
}

template <typename Enum>
OptionValue choice_into(Enum& variable, std::vector<std::pair<std::string, Enum>> choices) {
  OptionValue value;
  std::vector<std::string> words;
  for (const auto& [word, meaning] : choices) {
    words.push_back(word);
    if (meaning == variable) {
      value.default_text = word;
    }
  }
  value.placeholder = join(words, "|");
  value.set = [&variable, words, choices](const std::string& word) {
    variable = choices[parse_choice(word, words)].second;
  };
  return value;
}

}  // namespace imgtool
