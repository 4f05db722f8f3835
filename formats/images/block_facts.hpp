// What a disk image says about itself in its headers, whatever its format.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace formats {

struct BlockFact {
  std::string name;  // in small letters, with spaces
  std::variant<std::uint64_t, std::string> value;
};

struct BlockFacts {
  std::uint64_t virtual_size = 0;  // bytes
  std::uint64_t block_size = 0;    // bytes; 0 where there are no blocks
  std::string subformat;           // "dynamic", "fixed" ...; empty where the format has one kind
  bool dirty = false;              // whoever wrote to it last did not close it
  std::string backing_file;        // as the image names it; empty: none
  std::vector<BlockFact> others;
};

}  // namespace formats
