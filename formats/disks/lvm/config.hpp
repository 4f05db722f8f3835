// The text that LVM2 keeps its metadata in: sections with values in them.
//
//   vg0 { extent_size = 8192  status = ["READ", "WRITE"]  physical_volumes { pv0 { ... } } }
//
// Memory is bounded: values stay in the text until they are asked for, a text has at most
// most_names names, and a list that is asked for at most longest_list items.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace formats::filesystems::lvm {

inline constexpr std::size_t most_names = std::size_t{1} << 18;  // 10,000 volumes have 200,000
inline constexpr std::size_t longest_list = std::size_t{1} << 16;

using Scalar = std::variant<std::int64_t, std::string>;

struct Section {
  // Names, and each value as it stands in the text: a scalar, or a list in brackets.
  std::map<std::string_view, std::string_view> values;
  std::map<std::string_view, Section> sections;

  // All of these throw Doubt when it is not there, or of another kind.
  [[nodiscard]] std::uint64_t number(std::string_view name) const;
  [[nodiscard]] std::string text(std::string_view name) const;
  [[nodiscard]] std::vector<Scalar> list(std::string_view name) const;  // a scalar: a list of one
  [[nodiscard]] const Section& section(std::string_view name) const;

  [[nodiscard]] bool has(std::string_view name) const { return values.contains(name); }
};

// Throws Doubt for what is not such a text. `text` outlives the result.
[[nodiscard]] Section parse_config(std::string_view text);

// A value that parse_config() found, taken apart.
[[nodiscard]] std::vector<Scalar> parse_value(std::string_view value);

}  // namespace formats::filesystems::lvm
