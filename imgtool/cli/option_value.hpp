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

// Bytes: a number, maybe with a fraction, maybe followed by K M G T P E or KiB MiB ... (powers of
// 1024) or kB MB GB TB PB EB (powers of 1000); or hexadecimal digits behind 0x. Has to be a whole
// number of bytes below 2^63.
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
  std::string implied = {};  // the value where none is given; else a number has to follow the name
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

// A number that may be left out: then it is `implied`. An argument of digits alone that follows is
// taken for it.
template <typename Unsigned>
OptionValue optional_count_into(std::optional<Unsigned>& variable, std::uint64_t least,
                                std::uint64_t most, std::uint64_t implied) {
  OptionValue value = count_into(variable, least, most);
  value.placeholder = "[N]";
  value.default_text = std::to_string(implied);
  value.implied = std::to_string(implied);
  return value;
}

// The words of a closed list, and what each means.
template <typename Value>
using Choices = std::vector<std::pair<std::string, Value>>;

template <typename Value>
std::vector<std::string> words_of(const Choices<Value>& choices) {
  std::vector<std::string> words;
  for (const auto& choice : choices) words.push_back(choice.first);
  return words;
}

// Throws UsageError that lists them all.
template <typename Value>
Value chosen(std::string_view word, const Choices<Value>& choices) {
  return choices[parse_choice(word, words_of(choices))].second;
}

template <typename Enum>
OptionValue choice_into(Enum& variable, Choices<Enum> choices) {
  OptionValue value;
  value.placeholder = join(words_of(choices), "|");
  for (const auto& [word, meaning] : choices) {
    if (meaning == variable) value.default_text = word;
  }
  value.set = [&variable, choices = std::move(choices)](const std::string& word) {
    variable = chosen(word, choices);
  };
  return value;
}

template <typename Enum>
OptionValue choice_into(std::optional<Enum>& variable, Choices<Enum> choices) {
  OptionValue value;
  value.placeholder = join(words_of(choices), "|");
  value.set = [&variable, choices = std::move(choices)](const std::string& word) {
    variable = chosen(word, choices);
  };
  return value;
}

}  // namespace imgtool
