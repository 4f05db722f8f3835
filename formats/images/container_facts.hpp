// What an archive or a stream says about what it holds, by headers and its first bytes alone.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/archives/member_choice.hpp"
#include "formats/images/archives/ova/package.hpp"
#include "formats/images/format.hpp"
#include "io/file.hpp"

namespace formats {

struct ContainerFacts {
  std::vector<archives::Listed> members;  // of an archive
  std::vector<ova::Disk> disks;           // that an appliance's descriptor names
  std::string member;                     // that is the image; empty: it has to be chosen
  std::optional<Format> content;          // what the image looks like; nothing: not known
  std::optional<std::uint64_t> virtual_size;
};

// `wanted`: as OpenOptions::member. `size_of` tells the virtual size of an image in a file. Throws
// Error.
[[nodiscard]] ContainerFacts read_container_facts(
    const io::File& file, Format format, const std::string& wanted,
    const std::function<std::optional<std::uint64_t>(io::File)>& size_of);

}  // namespace formats
