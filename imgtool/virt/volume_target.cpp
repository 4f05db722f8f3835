#include "imgtool/virt/volume_target.hpp"

#include <algorithm>

#include "io/error.hpp"

namespace imgtool::virt {
namespace {
constexpr std::size_t zeros_at_once = 256 * io::KiB;
constexpr std::uint64_t shortest_hole = 64 * io::KiB;  // below, a message costs more than the bytes
}  // namespace

VolumeTarget::VolumeTarget(io::Ring& ring, Stream& stream, std::string name, bool holes)
    : stream_(stream),
      name_(std::move(name)),
      holes_(holes),
      sequencer_(ring),
      zeros_(zeros_at_once) {}

std::uint64_t VolumeTarget::zero_grain() const {
  return holes_ ? shortest_hole : std::uint64_t{1} << 30;
}

io::Task<> VolumeTarget::take_turn(std::uint64_t offset) {
  const bool mine = co_await sequencer_.turn(offset);
  if (!mine) throw io::Error(io::ErrorKind::cancelled, name_, "an earlier piece is missing");
}

io::Task<> VolumeTarget::write(std::uint64_t offset, io::Buffer buffer) {
  co_await take_turn(offset);
  stream_.send(buffer.bytes);
  sequencer_.pass(offset + buffer.bytes.size());
}

io::Task<> VolumeTarget::zero(io::ByteRange range) {
  co_await take_turn(range.offset);
  if (holes_) {
    stream_.send_hole(range.length);
  } else {
    send_zeros(range.length);
  }
  sequencer_.pass(range.end());
}

void VolumeTarget::send_zeros(std::uint64_t length) {
  while (length > 0) {
    const std::uint64_t count = std::min<std::uint64_t>(length, zeros_at_once);
    stream_.send(zeros_.bytes().first(count));
    length -= count;
  }
}

// libvirtd writes in its own time; finishing the stream waits for that.
io::Task<> VolumeTarget::flush() { co_return; }

}  // namespace imgtool::virt
