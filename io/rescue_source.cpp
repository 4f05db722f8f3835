#include "io/rescue_source.hpp"

#include <algorithm>
#include <cerrno>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"

namespace io {
namespace {

constexpr std::uint64_t pieces_of_a_retry = 16;  // a failed read is tried again in so many pieces

bool is_medium_error(const Error& error) {
  switch (error.error_number()) {
    case EIO:
    case ENODATA:    // SCSI medium error
    case EILSEQ:     // protection information does not match
    case EREMOTEIO:  // SCSI target error
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

}  // namespace

RescueSource::RescueSource(Source& disk, std::uint32_t sector, OnBad on_bad, Damage damage)
    : disk_(disk), sector_(sector), on_bad_(std::move(on_bad)), damage_(damage) {}

bool RescueSource::goes_on_past(const Error& error) const {
  if (is_medium_error(error)) return true;
  return damage_ == Damage::medium_or_image && error.kind() == ErrorKind::format;
}

Extent RescueSource::extent_at(std::uint64_t offset) {
  try {
    return disk_.extent_at(offset);
  } catch (const Error& error) {
    if (!goes_on_past(error)) throw;
  }
  const std::uint64_t end = align_down(offset, std::uint64_t{sector_}) + sector_;
  return {range_between(offset, std::min(end, disk_.size().value())), ExtentKind::data};
}

Task<std::size_t> RescueSource::read(ByteRange range, Buffer buffer) {
  bool failed = false;
  try {
    co_return co_await disk_.read(range, buffer);
  } catch (const Error& error) {
    if (!goes_on_past(error)) throw;
    failed = true;
  }
  if (failed && range.length <= sector_) {
    const auto content = buffer.bytes.first(range.length);
    std::fill(content.begin(), content.end(), std::byte{0});
    on_bad_(range, content);
  } else if (failed) {
    co_await read_in_pieces(range, buffer);
  }
  co_return range.length;
}

Task<> RescueSource::read_in_pieces(ByteRange range, Buffer buffer) {
  const std::uint64_t piece = std::max<std::uint64_t>(
      sector_, align_down(range.length / pieces_of_a_retry, std::uint64_t{sector_}));
  const AlignedMemory memory(piece);  // a source wants room for a whole sector
  for (std::uint64_t at = range.offset; at < range.end(); at += piece) {
    const ByteRange part = range_between(at, std::min(at + piece, range.end()));
    co_await read(part, memory.buffer());
    std::copy_n(memory.bytes().begin(), part.length,
                buffer.bytes.begin() + static_cast<std::ptrdiff_t>(at - range.offset));
  }
}

}  // namespace io
