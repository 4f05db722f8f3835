// A zst file with a seek table: the table, the frames it names, and what is seen of zeros without
// decoding. Anything but an io::Error is a bug, and so is a frame that is called zeros and is not.
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "formats/images/zst/label.hpp"
#include "formats/images/zst/seek_table.hpp"
#include "formats/images/zst/zstd.hpp"
#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace {

using namespace formats::zst;

constexpr std::uint32_t most_content = std::uint32_t{4} << 20;

void look_at(const io::File& file, const Frame& frame) {
  if (frame.content_bytes > most_content) return;
  std::vector<std::byte> stored(frame.stored_bytes);
  if (file.read_at(frame.stored_at, stored) != stored.size()) std::abort();
  std::vector<std::byte> content(frame.content_bytes, std::byte{1});
  const bool zeros = is_zero_frame(stored, frame.content_bytes);
  const bool good = decode_frame(stored, content).empty();
  if (zeros && good && !io::is_zero(content)) std::abort();
  (void)frame_checksum(stored);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const io::File file(io::FileDescriptor(memfd_create("fuzz", MFD_CLOEXEC)), "fuzz");
  file.write_at(0, bytes);
  try {
    (void)read_label(file);
    const auto table = SeekTable::read(file);
    if (!table) return 0;
    std::uint64_t position = 0;
    for (const Frame& frame : table->frames()) {
      if (frame.content_at != position || frame.content_bytes == 0 ||
          frame.stored_at + frame.stored_bytes > size) {
        std::abort();
      }
      if (&frame - table->frames().data() < 16) look_at(file, frame);
      position += frame.content_bytes;
    }
    if (position != table->content_size()) std::abort();
  } catch (const io::Error&) {
  }
  return 0;
}
