// What is needed of a property list in XML: the contents of its <data> elements. It is searched for
// them, not parsed, so it has no entities, no depth and nothing outside of itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace formats::dmg {

// Gives the decoded bytes of each <data> element to `take`, with the offset of its text in `list`,
// in order, up to the first that is not closed. What is no Base64 in an element is skipped.
void for_each_data(
    std::string_view list,
    const std::function<void(std::uint64_t offset, std::span<const std::byte> bytes)>& take);

// Decodes Base64; what is not of its letters is skipped, "=" ends it.
[[nodiscard]] std::vector<std::byte> decode_base64(std::string_view text);

}  // namespace formats::dmg
