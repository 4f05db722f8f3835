// A zip archive: its directory, and each member as it is unpacked. Anything but an io::Error, or a
// use of memory out of proportion, is a bug.
#include <algorithm>
#include <cstdlib>

#include "formats/images/archives/zip/member.hpp"
#include "io/error.hpp"
#include "tests/fuzz/archives_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace formats;
  const io::File file = fuzz::file_of({data, size});
  try {
    const zip::Directory directory = zip::read_directory(file);
    for (std::size_t i = 0; i < std::min<std::size_t>(directory.members.size(), 8); ++i) {
      try {
        const zip::Member& member = directory.members[i];
        const io::ByteRange place = zip::data_of(file, directory, member);
        if (place.offset > size || place.length > size - place.offset) std::abort();
        fuzz::read_some(*zip::open_member(file, member, place, "member", nullptr));
      } catch (const io::Error&) {
      }
    }
  } catch (const io::Error&) {
  }
  return 0;
}
