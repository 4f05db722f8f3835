// A compressed stream of any kind: gz, xz, bz2, zst. Anything but an io::Error, or a use of memory
// out of proportion, is a bug.
#include <sys/mman.h>

#include <cstdint>
#include <vector>

#include "formats/images/probe.hpp"
#include "formats/images/streams/decoder.hpp"
#include "formats/images/streams/xz.hpp"
#include "io/error.hpp"
#include "io/sequential_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace formats;
  const auto bytes = std::as_bytes(std::span(data, size));
  const Format format = probe(bytes);
  if (!is_stream(format)) return 0;
  const io::File file(io::FileDescriptor(memfd_create("fuzz", MFD_CLOEXEC)), "fuzz");
  file.write_at(0, bytes);
  try {
    if (format == Format::xz) (void)streams::xz_content_size(file);
    streams::Decoder decoder(
        streams::make_codec(format),
        std::make_unique<io::SequentialReader>(file, std::vector<std::byte>{}, nullptr), "fuzz");
    std::vector<std::byte> out(std::size_t{64} << 10);
    for (int piece = 0; piece < 256 && decoder.read(out) == out.size(); ++piece) {
    }
  } catch (const io::Error&) {
  }
  return 0;
}
