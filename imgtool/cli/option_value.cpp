#include "imgtool/cli/option_value.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <numeric>

#include <fmt/format.h>

#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

constexpr std::string_view decimal_digits = "0123456789";
constexpr std::string_view hexadecimal_digits = "0123456789abcdef";

struct Unit {
  std::string_view suffix;
  std::uint64_t bytes;
};

constexpr std::uint64_t power(std::uint64_t base, int exponent) {
  return exponent == 0 ? 1 : base * power(base, exponent - 1);
}

// Lower case letters as well, since qemu-img takes them; "KB" is left out, it means either.
constexpr std::array units = {
    Unit{"", 1},
    Unit{"B", 1},
    Unit{"b", 1},
    Unit{"K", power(1024, 1)},
    Unit{"k", power(1024, 1)},
    Unit{"KiB", power(1024, 1)},
    Unit{"kB", power(1000, 1)},
    Unit{"M", power(1024, 2)},
    Unit{"m", power(1024, 2)},
    Unit{"MiB", power(1024, 2)},
    Unit{"MB", power(1000, 2)},
    Unit{"G", power(1024, 3)},
    Unit{"g", power(1024, 3)},
    Unit{"GiB", power(1024, 3)},
    Unit{"GB", power(1000, 3)},
    Unit{"T", power(1024, 4)},
    Unit{"t", power(1024, 4)},
    Unit{"TiB", power(1024, 4)},
    Unit{"TB", power(1000, 4)},
    Unit{"P", power(1024, 5)},
    Unit{"p", power(1024, 5)},
    Unit{"PiB", power(1024, 5)},
    Unit{"PB", power(1000, 5)},
    Unit{"E", power(1024, 6)},
    Unit{"e", power(1024, 6)},
    Unit{"EiB", power(1024, 6)},
    Unit{"EB", power(1000, 6)},
};

// Takes the digits that `text` begins with off it; empty when there are none.
std::string_view take_digits(std::string_view& text) {
  const std::size_t count = std::min(text.find_first_not_of(decimal_digits), text.size());
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

// Empty when it does not fit.
std::optional<std::uint64_t> number(std::string_view digits, int base = 10) {
  std::uint64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  return result.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<std::uint64_t> product(std::uint64_t a, std::uint64_t b) {
  std::uint64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? std::nullopt : std::optional(result);
}

// 0.DIGITS x unit, exactly; empty when that is no whole number.
std::optional<std::uint64_t> fraction_of(std::string_view digits, std::uint64_t unit) {
  digits = digits.substr(0, digits.find_last_not_of('0') + 1);
  constexpr std::size_t most_digits = 18;  // 10^18 still fits; no unit divides by 10^19
  if (digits.empty()) {
    return 0;
  }
  if (digits.size() > most_digits) {
    return std::nullopt;
  }
  const std::uint64_t denominator = power(10, static_cast<int>(digits.size()));
  const std::uint64_t common = std::gcd(denominator, unit);
  const std::uint64_t numerator = number(digits).value_or(0);
  if (numerator % (denominator / common) != 0) {
    return std::nullopt;
  }
  return product(numerator / (denominator / common), unit / common);
}

[[noreturn]] void throw_bad_size(std::string_view word, std::string_view why) {
  throw UsageError(fmt::format("'{}' is {}", word, why));
}

constexpr std::string_view not_a_size =
    "not a size: write a number with K, M, G, T, P, E (powers of 1024) or kB, MB, GB, TB, PB, EB";
constexpr std::string_view too_large = "too large: no file is longer than 8 EiB";
constexpr std::uint64_t largest_size = std::numeric_limits<std::int64_t>::max();  // as off_t has it

// 0xDIGITS, of bytes: a suffix could be a digit.
std::uint64_t parse_hexadecimal_size(std::string_view word) {
  const std::string_view digits = word.substr(2);
  const bool wrong = std::any_of(digits.begin(), digits.end(), [](char c) {
    return std::isxdigit(static_cast<unsigned char>(c)) == 0;
  });
  if (digits.empty() || wrong) throw_bad_size(word, not_a_size);
  const auto bytes = number(digits, 16);
  if (!bytes || *bytes > largest_size) throw_bad_size(word, too_large);
  return *bytes;
}

}  // namespace

std::uint64_t parse_size(std::string_view word) {
  if (word.starts_with("0x") || word.starts_with("0X")) return parse_hexadecimal_size(word);
  std::string_view rest = word;
  const std::string_view whole_digits = take_digits(rest);
  std::string_view fraction_digits;
  const bool has_point = rest.starts_with('.');
  if (has_point) {
    rest.remove_prefix(1);
    fraction_digits = take_digits(rest);
  }
  const auto* unit = std::find_if(units.begin(), units.end(),
                                  [rest](const Unit& known) { return known.suffix == rest; });
  if (whole_digits.empty() || has_point == fraction_digits.empty() || unit == units.end()) {
    throw_bad_size(word, not_a_size);
  }
  const auto fraction = fraction_of(fraction_digits, unit->bytes);
  if (!fraction) {
    throw_bad_size(word, "not a whole number of bytes");
  }
  const auto whole = number(whole_digits);
  const auto bytes = whole ? product(*whole, unit->bytes) : std::nullopt;
  if (!bytes || *bytes > largest_size || *fraction > largest_size - *bytes) {
    throw_bad_size(word, too_large);
  }
  return *bytes + *fraction;
}

std::uint64_t parse_count(std::string_view word, std::uint64_t least, std::uint64_t most) {
  std::string_view rest = word;
  const std::string_view digits = take_digits(rest);
  const auto value = digits.empty() || !rest.empty() ? std::nullopt : number(digits);
  if (!value || *value < least || *value > most) {
    throw UsageError(fmt::format("'{}' is not a number from {} to {}", word, least, most));
  }
  return *value;
}

ExpectedDigest parse_digest(std::string_view word) {
  const std::size_t colon = word.find(':');
  const std::string_view name = word.substr(0, colon);
  const auto algorithm = io::parse_digest_name(name);
  if (colon == std::string_view::npos || !algorithm) {
    throw UsageError(
        fmt::format("'{}' is not ALGORITHM:HEX with sha256, sha512, sha1, md5 or xxh3", word));
  }
  std::string hex(word.substr(colon + 1));
  std::transform(hex.begin(), hex.end(), hex.begin(), [](char c) {
    return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const std::size_t digits = io::digest_hex_digits(*algorithm);
  if (hex.size() != digits || hex.find_first_not_of(hexadecimal_digits) != std::string::npos) {
    throw UsageError(
        fmt::format("'{}' does not have the {} hexadecimal digits of {}", word, digits, name));
  }
  return {*algorithm, std::move(hex)};
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

std::size_t parse_choice(std::string_view word, const std::vector<std::string>& choices) {
  const auto found = std::find(choices.begin(), choices.end(), word);
  if (found == choices.end()) {
    throw UsageError(fmt::format("'{}' is none of {}", word, join(choices, ", ")));
  }
  return static_cast<std::size_t>(found - choices.begin());
}

OptionValue flag_into(bool& variable) {
  return {.repeatable = true, .set = [&variable](const std::string&) { variable = true; }};
}

OptionValue text_into(std::string& variable, std::string placeholder) {
  return {.placeholder = std::move(placeholder),
          .default_text = variable,
          .set = [&variable](const std::string& word) { variable = word; }};
}

OptionValue text_into(std::optional<std::string>& variable, std::string placeholder) {
  return {.placeholder = std::move(placeholder),
          .set = [&variable](const std::string& word) { variable = word; }};
}

OptionValue texts_into(std::vector<std::string>& variable, std::string placeholder) {
  return {.placeholder = std::move(placeholder),
          .repeatable = true,
          .set = [&variable](const std::string& word) { variable.push_back(word); }};
}

OptionValue size_into(std::uint64_t& variable) {
  return {.placeholder = "SIZE",
          .default_text = human_size(variable),
          .set = [&variable](const std::string& word) { variable = parse_size(word); }};
}

OptionValue size_into(std::optional<std::uint64_t>& variable) {
  return {.placeholder = "SIZE",
          .set = [&variable](const std::string& word) { variable = parse_size(word); }};
}

OptionValue digest_into(std::optional<ExpectedDigest>& variable) {
  return {.placeholder = "ALGORITHM:HEX",
          .set = [&variable](const std::string& word) { variable = parse_digest(word); }};
}

}  // namespace imgtool
