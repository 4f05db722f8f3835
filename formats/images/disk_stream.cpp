#include "formats/images/disk_stream.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "formats/images/dmg/layout.hpp"
#include "formats/images/vhd/footer.hpp"
#include "io/byte_range.hpp"
#include "io/error.hpp"

namespace formats {

using vhd::footer_bytes;

DiskStream::DiskStream(std::unique_ptr<io::ByteStream> stream, bool size_is_told, std::string name)
    : stream_(std::move(stream)),
      size_is_told_(size_is_told),
      name_(std::move(name)),
      buffer_(256 * io::KiB) {}

std::size_t DiskStream::read(std::span<std::byte> buffer) {
  if (!ended_ && end_ - begin_ <= footer_bytes) fill();
  const std::size_t held = ended_ ? 0 : footer_bytes;
  const std::size_t count = std::min(buffer.size(), end_ - begin_ - held);
  std::memcpy(buffer.data(), buffer_.data() + begin_, count);
  begin_ += count;
  given_ += count;
  return count;
}

// More than a footer, or all that there is.
void DiskStream::fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  while (!ended_ && end_ <= footer_bytes) {
    const std::size_t count = stream_->read(std::span(buffer_).subspan(end_));
    end_ += count;
    ended_ = count == 0;
  }
  if (ended_) look_at_end();
}

void DiskStream::look_at_end() {
  const auto held = std::span<const std::byte>(buffer_).subspan(begin_, end_ - begin_);
  if (held.size() >= footer_bytes && dmg::has_magic(held.last(footer_bytes))) {
    throw io::Error(io::ErrorKind::unsupported, name_,
                    "is an Apple disk image (DMG), as its last bytes say: give it a name that says "
                    "so (.dmg before what it is packed by), and it will be read as one");
  }
  const std::uint64_t size = given_ + end_ - begin_;
  for (const std::uint64_t bytes : {footer_bytes, vhd::short_footer_bytes}) {
    if (size < bytes) continue;
    const auto end = std::span<const std::byte>(buffer_).subspan(end_ - bytes, bytes);
    if (!vhd::is_fixed_footer(end, size - bytes)) continue;
    if (size_is_told_) {
      throw io::Error(io::ErrorKind::unsupported, name_,
                      "is a fixed VHD, as its last bytes say: give it a name that says so "
                      "(.vhd before what it is packed by), and it will be read as one");
    }
    end_ -= bytes;
    return;
  }
}

}  // namespace formats
