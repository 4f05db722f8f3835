#include "formats/probe.hpp"

#include <array>

#include "formats/qcow2/header.hpp"

namespace formats {

Format probe(const io::File& file) {
  std::array<std::byte, 8> start{};
  const std::size_t count = file.read_at(0, start);
  return qcow2::has_magic(std::span(start).first(count)) ? Format::qcow2 : Format::raw;
}

}  // namespace formats
