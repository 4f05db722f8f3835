#include "io/file_target.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"

namespace io {
namespace {

// Shorter runs of zeros are written with the data around them: a request of its own costs a
// device more than these bytes.
constexpr std::uint64_t device_zero_grain = 64 * KiB;
constexpr std::uint64_t file_zero_grain = 4 * KiB;

// Where the page cache is in the way anyway, no more than this is left in it unflushed, so that
// progress stays true and the last flush short.
constexpr std::uint64_t most_unflushed = 64 * MiB;

// By which a file that grows is made longer.
constexpr std::uint64_t growth_step = 64 * MiB;

constexpr std::uint64_t zero_write_size = 1 * MiB;

Buffer shared_zeros() {
  static const AlignedMemory zeros(zero_write_size);
  return zeros.buffer();
}

bool not_possible_here(std::int64_t result) {
  return result == -EOPNOTSUPP || result == -EINVAL || result == -ENOTTY || result == -ENODEV ||
         result == -ENOSYS || result == -EPERM;
}

}  // namespace

FileTarget::FileTarget(Ring& ring, File& file, std::uint64_t capacity,
                       const FileTargetOptions& options)
    : ring_(ring),
      file_{ring.remember(file.fd()), file.path()},
      capacity_(capacity),
      block_device_(file.status().kind == FileKind::block_device),
      starts_as_zeros_(options.starts_as_zeros),
      grows_(options.grows),
      zero_method_(options.first_zero_method) {
  if (options.direct && file.try_direct()) alignment_ = file.direct_alignment();
  // Zeroing requests on a device go by its sectors even where plain writes need not.
  sector_ = block_device_ ? file.direct_alignment().offset : alignment_.offset;
}

FileTarget::~FileTarget() { ring_.forget(file_.file); }

std::uint64_t FileTarget::zero_grain() const {
  const auto grain = block_device_ ? device_zero_grain : file_zero_grain;
  return std::max<std::uint64_t>(grain, alignment_.offset);
}

Task<> FileTarget::write(std::uint64_t offset, Buffer buffer) {
  assert(offset + buffer.bytes.size() <= capacity_);
  const std::uint64_t sector = alignment_.offset;
  std::span<std::byte> bytes = buffer.bytes;
  const auto head = std::min<std::uint64_t>(align_up(offset, sector) - offset, bytes.size());
  if (head > 0) {
    co_await write_within_sector(offset, bytes.first(head));
    offset += head;
    bytes = bytes.subspan(head);
  }
  const auto middle = align_down(bytes.size(), sector);
  if (middle > 0 && head == 0) {
    const Buffer aligned{bytes.first(middle), buffer.index};
    co_await write_aligned(offset, aligned);
  } else if (middle > 0) {
    // After an odd head the memory is no longer aligned. The copier's chunks have none.
    const AlignedMemory copy(middle);
    std::memcpy(copy.bytes().data(), bytes.data(), middle);
    co_await write_aligned(offset, copy.buffer().first(middle));
  }
  if (middle < bytes.size()) co_await write_within_sector(offset + middle, bytes.subspan(middle));
}

// Where it cannot be made longer the write itself does it, or tells why not.
void FileTarget::grow_to(std::uint64_t end) {
  if (end <= length_) return;
  struct stat status {};
  if (fstat(file_.file.fd, &status) == 0) length_ = static_cast<std::uint64_t>(status.st_size);
  if (end <= length_) return;
  length_ = align_up(end, growth_step);
  if (ftruncate(file_.file.fd, static_cast<off_t>(length_)) != 0) grows_ = false;
}

Task<> FileTarget::write_aligned(std::uint64_t offset, Buffer buffer) {
  if (grows_ && direct()) grow_to(offset + buffer.bytes.size());
  co_await write_full(ring_, file_, offset, buffer);
  if (direct()) co_return;
  unflushed_ += buffer.bytes.size();
  if (unflushed_ >= most_unflushed) co_await flush();
}

Task<> FileTarget::write_within_sector(std::uint64_t offset, std::span<const std::byte> bytes) {
  const auto begin = align_down(offset, sector_);
  const AlignedMemory sector(sector_);
  const Buffer whole = sector.buffer().first(sector_);
  // A regular file may end inside the sector: the rest stays zero and is cut off at the end of
  // the job, when the file gets its exact length.
  co_await read_full(ring_, file_, begin, whole);
  std::memcpy(whole.bytes.data() + (offset - begin), bytes.data(), bytes.size());
  co_await write_full(ring_, file_, begin, whole);
}

Task<> FileTarget::zero(ByteRange range) {
  assert(range.end() <= capacity_);
  if (starts_as_zeros_ || range.empty()) co_return;
  const auto begin = align_up(range.offset, sector_);
  const auto end = align_down(range.end(), sector_);
  const std::span<const std::byte> zeros = shared_zeros().bytes;
  if (begin >= end) {
    // Nothing but edges: at most two partial sectors, or one.
    const auto head = std::min(begin, range.end()) - range.offset;
    if (head > 0) co_await write_within_sector(range.offset, zeros.first(head));
    if (range.end() > begin) {
      co_await write_within_sector(begin, zeros.first(range.end() - begin));
    }
    co_return;
  }
  if (begin > range.offset) {
    co_await write_within_sector(range.offset, zeros.first(begin - range.offset));
  }
  co_await zero_aligned(range_between(begin, end));
  if (end < range.end()) {
    co_await write_within_sector(end, zeros.first(range.end() - end));
  }
}

Task<> FileTarget::zero_aligned(ByteRange range) {
  while (zero_method_ != ZeroMethod::write) {
    const ZeroMethod method = zero_method_;
    const std::int64_t result = co_await try_zero(method, range);
    if (result >= 0) co_return;
    if (result == -EINTR || result == -EAGAIN) continue;
    if (!not_possible_here(result)) {
      throw Error::system("zeroing", file_.path, static_cast<int>(-result), range);
    }
    // Another lane may have stepped down meanwhile.
    if (zero_method_ == method) {
      zero_method_ = static_cast<ZeroMethod>(static_cast<std::uint8_t>(method) + 1);
    }
  }
  co_await write_zeros(range);
}

Task<std::int64_t> FileTarget::try_zero(ZeroMethod method, ByteRange range) {
  if (method == ZeroMethod::zero_out) {
    // Only old kernels come here, where nothing but this blocking call can do it.
    std::array<std::uint64_t, 2> argument = {range.offset, range.length};
    co_return ioctl(file_.file.fd, BLKZEROOUT, argument.data()) == 0 ? 0 : -errno;
  }
  const int mode = method == ZeroMethod::punch_hole ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                                    : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  co_return co_await ring_.allocate(file_.file, mode, range.offset, range.length);
}

Task<> FileTarget::write_zeros(ByteRange range) {
  while (!range.empty()) {
    const auto length = std::min<std::uint64_t>(range.length, zero_write_size);
    co_await write_aligned(range.offset, shared_zeros().first(length));
    range = range_between(range.offset + length, range.end());
  }
}

Task<> FileTarget::flush() {
  unflushed_ = 0;
  co_await flush_file(ring_, file_);
}

}  // namespace io
