#include "formats/bytes/checksum.hpp"

namespace formats {

[[gnu::weak]] bool checksum_fits(std::uint32_t stored, std::uint32_t computed) noexcept {
  return stored == computed;
}

[[gnu::weak]] bool checksum_fits(std::string_view stored, std::string_view computed) noexcept {
  return stored == computed;
}

}  // namespace formats
