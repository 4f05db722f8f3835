// Any bytes either are refused with io::Error, or give a mapfile that its own text gives again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "formats/images/mapfile.hpp"
#include "io/error.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// Comments may change once: control characters become '?'.
void check(const formats::Mapfile& mapfile) {
  const std::string text = formats::mapfile_text(mapfile);
  const formats::Mapfile again = formats::parse_mapfile(text, "again");
  require(again.position == mapfile.position);
  require(again.phase == mapfile.phase);
  require(again.pass == mapfile.pass);
  require(again.blocks == mapfile.blocks);
  require(again.comments.size() == mapfile.comments.size());
  require(formats::mapfile_text(again) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    check(formats::parse_mapfile(text, "input"));
  } catch (const io::Error& error) {
    require(error.kind() == io::ErrorKind::format);
  }
  return 0;
}
