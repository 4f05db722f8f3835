// What an appliance says about itself: any text is taken for a descriptor, and for a manifest.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/images/archives/ova/package.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace formats;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (ova::parse_descriptor(text).size() > 256) std::abort();
  for (const auto& digest : ova::parse_manifest(text)) {
    if (digest.hex.size() != io::digest_hex_digits(digest.algorithm)) std::abort();
  }
  return 0;
}
