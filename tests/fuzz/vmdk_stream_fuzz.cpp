// A streamed VMware disk, read front to back by its markers. More than the disk's size is a bug.
#include <cstdlib>
#include <memory>

#include "formats/images/streams/file_stream.hpp"
#include "formats/images/vmdk/stream.hpp"
#include "io/error.hpp"
#include "tests/fuzz/archives_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace formats;
  if (!vmdk::is_stream(std::as_bytes(std::span(data, size)))) return 0;
  try {
    auto input = std::make_unique<streams::FileStream>(fuzz::file_of({data, size}), nullptr);
    vmdk::GrainStream disk(std::move(input), "fuzz");
    fuzz::read_some(disk);
  } catch (const io::Error&) {
  }
  return 0;
}
