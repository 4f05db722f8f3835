// A tar archive, as a file and as a stream: headers, pax records, sparse maps, and an appliance's
// descriptor and manifest. Anything but an io::Error, or a use of memory out of proportion, is a
// bug.
#include <algorithm>
#include <cstdlib>
#include <memory>

#include "formats/images/archives/tar/appliance.hpp"
#include "formats/images/archives/tar/member.hpp"
#include "formats/images/archives/tar/stream.hpp"
#include "formats/images/streams/file_stream.hpp"
#include "io/error.hpp"
#include "tests/fuzz/archives_fuzz.hpp"

namespace {

using namespace formats;

void check_segments(const tar::Member& member) {
  std::uint64_t end = 0;
  for (const io::ByteRange& segment : member.segments) {
    if (segment.empty() || segment.offset < end || segment.end() > member.size) std::abort();
    end = segment.end();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const io::File file = fuzz::file_of({data, size});
  try {
    archives::MemberList list("fuzz");
    const auto members = tar::list_members(file, list);
    (void)tar::read_appliance(file, members);
    for (std::size_t i = 0; i < std::min<std::size_t>(members.size(), 8); ++i) {
      const tar::Member member = tar::read_member(file, members[i]);
      check_segments(member);
      fuzz::read_some(*tar::open_member(file, member, "member", nullptr));
    }
  } catch (const io::Error&) {
  }
  try {
    auto input = std::make_unique<streams::FileStream>(file.reopened(), nullptr);
    tar::MemberOfStream stream(std::move(input), "fuzz", "");
    fuzz::read_some(stream);
  } catch (const io::Error&) {
  }
  return 0;
}
