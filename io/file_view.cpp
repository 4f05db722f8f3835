#include "io/file_view.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io/task_group.hpp"

namespace io {
namespace {

constexpr std::size_t most_bytes = MiB;  // of one read or write
constexpr std::uint16_t most_pages = most_bytes / 4096;
constexpr std::size_t header_room = buffer_alignment;
constexpr std::uint64_t for_ever = std::uint64_t{1} << 30;  // seconds
constexpr std::uint32_t block_size = 4096;
constexpr std::uint32_t first_minor_with_long_init = 23;

template <class Body>
Body body_of(std::span<const std::byte> bytes) {
  Body body{};
  std::memcpy(&body, bytes.data(), std::min(sizeof body, bytes.size()));
  return body;
}

}  // namespace

struct FileView::Request {
  fuse_in_header header{};
  std::span<std::byte> body;
};

FileDescriptor mount_file_view(const std::string& place, bool writable, uid_t user, gid_t group) {
  constexpr const char* device = "/dev/fuse";
  FileDescriptor connection(::open(device, O_RDWR | O_CLOEXEC));
  if (!connection) throw Error::system("open", device, errno);
  const std::string options =
      fmt::format("fd={},rootmode={:o},user_id={},group_id={},max_read={},allow_other",
                  connection.get(), unsigned{S_IFREG}, user, group, most_bytes);
  const unsigned long flags = MS_NOSUID | MS_NODEV | (writable ? 0 : MS_RDONLY);
  if (::mount("imgtool", place.c_str(), "fuse", flags, options.c_str()) != 0) {
    throw Error::system("mount of a FUSE file", place, errno);
  }
  return connection;
}

// Whatever length is asked for, the answer is the one that it has.
void learn_length(const std::string& place) {
  struct stat found {};  // first, so that it has an owner
  const bool done = ::stat(place.c_str(), &found) == 0 && ::truncate(place.c_str(), 0) == 0;
  if (!done) throw Error::system("set up of a view", place, errno);
}

FileView::FileView(Ring& ring, const ViewContent& content, FileDescriptor connection)
    : ring_(ring),
      content_(content),
      connection_(std::move(connection)),
      question_(most_bytes + header_room),
      data_(most_bytes) {
  assert(content.source != nullptr && content.source->seekable());
  const int flags = ::fcntl(connection_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(connection_.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    throw Error::system("set up of a view", content.source->name(), errno);
  }
}

bool FileView::serve() {
  while (true) {
    const auto room = question_.bytes();
    const ssize_t count = ::read(connection_.get(), room.data(), room.size());
    if (count < 0 && errno == EAGAIN) return true;
    const bool again = count < 0 && (errno == EINTR || errno == ENOENT);
    if (again) continue;  // ENOENT: who asked is gone
    if (count < static_cast<ssize_t>(sizeof(fuse_in_header))) {
      connection_ = FileDescriptor();
      return false;
    }
    Request request;
    request.header = body_of<fuse_in_header>(room);
    request.body = room.subspan(sizeof request.header,
                                static_cast<std::size_t>(count) - sizeof request.header);
    answer(request);
  }
}

void FileView::answer(const Request& request) {
  int error = EIO;
  try {
    error = carry_out(request);
  } catch (const Error& failed) {
    if (failed.error_number() != 0) error = failed.error_number();
    if (!failure_) failure_ = failed;
  }
  if (error != 0) reply(request, error, nullptr, 0);
}

// 0 when it was answered, or wants no answer; else what is the matter with it.
int FileView::carry_out(const Request& request) {
  switch (request.header.opcode) {
    case FUSE_INIT:
      initialize(request);
      return 0;
    case FUSE_GETATTR:
    case FUSE_SETATTR:  // accepted, and without effect
      tell_attributes(request);
      return 0;
    case FUSE_STATFS:
      tell_space(request);
      return 0;
    case FUSE_OPEN:
      open(request);
      return 0;
    case FUSE_READ:
      read(request);
      return 0;
    case FUSE_WRITE:
      write(request);
      return 0;
    case FUSE_FALLOCATE:
      allocate(request);
      return 0;
    case FUSE_FLUSH:
    case FUSE_FSYNC:  // it is thrown away after a crash, so nothing is worth waiting for
    case FUSE_RELEASE:
      reply(request, 0, nullptr, 0);
      return 0;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:  // each request is answered before the next one is read
    case FUSE_DESTROY:
      return 0;
    default:
      return ENOSYS;
  }
}

void FileView::reply(const Request& request, int error, const void* bytes, std::size_t length) {
  fuse_out_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + length);
  header.error = -error;
  header.unique = request.header.unique;
  std::array<iovec, 2> parts = {{{&header, sizeof header}, {const_cast<void*>(bytes), length}}};
  // Who asked may be gone, and the mount with it: then nobody waits for this.
  while (::writev(connection_.get(), parts.data(), length > 0 ? 2 : 1) < 0 && errno == EINTR) {
  }
}

void FileView::initialize(const Request& request) {
  const auto offered = body_of<fuse_init_in>(request.body);
  std::uint32_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES;
  if (content_.target != nullptr) wanted |= FUSE_WRITEBACK_CACHE;
  fuse_init_out out{};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = FUSE_KERNEL_MINOR_VERSION;
  out.max_readahead = offered.max_readahead;
  out.flags = offered.flags & wanted;
  out.max_write = most_bytes;
  out.max_pages = most_pages;
  out.time_gran = 1;
  const bool is_short =
      offered.major == FUSE_KERNEL_VERSION && offered.minor < first_minor_with_long_init;
  reply(request, 0, &out, is_short ? std::size_t{FUSE_COMPAT_22_INIT_OUT_SIZE} : sizeof out);
}

void FileView::tell_attributes(const Request& request) {
  fuse_attr_out out{};
  out.attr_valid = for_ever;
  out.attr.ino = FUSE_ROOT_ID;
  out.attr.size = content_.range.length;
  out.attr.blocks = content_.range.length / 512;
  out.attr.blksize = block_size;
  out.attr.mode = S_IFREG | (content_.target != nullptr ? 0666U : 0444U);
  out.attr.nlink = 1;
  // Whoever asks owns it: another user may have no number in the namespace that it is mounted in.
  out.attr.uid = request.header.uid;
  out.attr.gid = request.header.gid;
  reply_with(request, out);
}

void FileView::tell_space(const Request& request) {
  fuse_statfs_out out{};
  out.st.bsize = out.st.frsize = block_size;
  out.st.blocks = content_.range.length / block_size;
  out.st.namelen = NAME_MAX;
  reply_with(request, out);
}

void FileView::open(const Request& request) {
  fuse_open_out out{};
  out.open_flags = FOPEN_KEEP_CACHE;
  reply_with(request, out);
}

// Of the source. Throws where it reaches past the end of the view.
ByteRange FileView::place_of(std::uint64_t offset, std::uint64_t length) const {
  const std::uint64_t end = content_.range.length;
  if (length > end || offset > end - length) {
    throw Error::system("write behind the end", content_.source->name(), EFBIG,
                        ByteRange{offset, length});
  }
  return {content_.range.offset + offset, length};
}

void FileView::read(const Request& request) {
  const auto asked = body_of<fuse_read_in>(request.body);
  const std::uint64_t offset = std::min(asked.offset, content_.range.length);
  const std::uint64_t length =
      std::min<std::uint64_t>({asked.size, data_.bytes().size(), content_.range.length - offset});
  if (length > 0) {
    (void)run_task(ring_, content_.source->read(place_of(offset, length), data_.buffer()));
  }
  reply(request, 0, data_.bytes().data(), length);
}

void FileView::write(const Request& request) {
  const auto asked = body_of<fuse_write_in>(request.body);
  if (content_.target == nullptr) throw Error::system("write", content_.source->name(), EROFS);
  const auto bytes = request.body.subspan(std::min(sizeof asked, request.body.size()));
  const std::size_t length = std::min<std::size_t>(asked.size, bytes.size());
  const ByteRange place = place_of(asked.offset, length);
  run_task(ring_, content_.target->write(place.offset, {bytes.first(length), -1}));
  fuse_write_out out{};
  out.size = static_cast<std::uint32_t>(length);
  reply_with(request, out);
}

// Space is there already; a hole that is punched, and a range that is zeroed, read as zeros.
void FileView::allocate(const Request& request) {
  const auto asked = body_of<fuse_fallocate_in>(request.body);
  if (content_.target == nullptr) throw Error::system("write", content_.source->name(), EROFS);
  const std::uint32_t method = asked.mode & ~std::uint32_t{FALLOC_FL_KEEP_SIZE};
  const bool zeroes = method == FALLOC_FL_PUNCH_HOLE || method == FALLOC_FL_ZERO_RANGE;
  if (!zeroes && method != 0) {
    reply(request, EOPNOTSUPP, nullptr, 0);
    return;
  }
  std::uint64_t length = asked.length;
  if (asked.offset < content_.range.length && (asked.mode & FALLOC_FL_KEEP_SIZE) != 0) {
    length = std::min(length, content_.range.length - asked.offset);
  }
  const ByteRange place = place_of(asked.offset, length);
  if (zeroes) run_task(ring_, content_.target->zero(place));
  reply(request, 0, nullptr, 0);
}

}  // namespace io
