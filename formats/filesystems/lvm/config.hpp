// The text that LVM2 keeps its metadata in: sections with values in them.
//
//   vg0 { extent_size = 8192  status = ["READ", "WRITE"]  physical_volumes { pv0 { ... } } }
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace formats::filesystems::lvm {

using Scalar = std::variant<std::int64_t, std::string>;

struct Section {
  std::map<std::string, std::vector<Scalar>, std::less<>>
      values;  // a single value is a list of one
  std::map<std::string, Section, std::less<>> sections;

  // All of these throw Doubt when it is not there, or of another kind.
  [[nodiscard]] std::uint64_t number(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] const std::vector<Scalar>& list(std::string_view name) const;
  [[nodiscard]] const Section& section(std::string_view name) const;

  [[nodiscard]] bool has(std::string_view name) const { return values.contains(name); }
};

// Throws Doubt for what is not such a text.
[[nodiscard]] Section parse_config(std::string_view text);

}  // namespace formats::filesystems::lvm
