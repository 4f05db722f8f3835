// A part of a source, shown to other programs as a file: what they read and write there comes here,
// by the kernel's FUSE protocol, spoken without a library. This is the only user of <linux/fuse.h>.
//
// The mount point is the file itself: there is no folder and no name to look up. Its length is
// fixed: cutting it changes nothing (resize2fs cuts what it has made smaller), and what lies behind
// the end is EFBIG. Writes reach the view in large pieces, some time after the program made them
// (FUSE's writeback cache, without which ntfsresize takes fifteen times as long), and at the latest
// when the program has closed the file or ended.
//
// Who serves a view must not touch it by its path, which would wait for the server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <sys/types.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/source.hpp"
#include "io/target.hpp"

namespace io {

// Mounts a view on the file `place`, in this process' mount namespace, for all users; gives what
// FileView is served by. `user` and `group` are this process' own. Throws Error.
[[nodiscard]] FileDescriptor mount_file_view(const std::string& place, bool writable, uid_t user,
                                             gid_t group);

// Makes the kernel ask a view for its length: with the writeback cache it believes itself alone,
// and that a mount point begins with none. Once after the mount, before programs use it, while
// another thread or process serves the view. Throws Error.
void learn_length(const std::string& place);

struct ViewContent {
  Source* source = nullptr;  // seekable
  Target* target = nullptr;  // of the same bytes; null: the view is read only
  ByteRange range{};         // what is shown of them
};

class FileView {
 public:
  // `connection` comes from mount_file_view(), maybe in another process. All outlive the view.
  FileView(Ring& ring, const ViewContent& content, FileDescriptor connection);

  // Readable when something is asked; -1 when it is mounted no more.
  [[nodiscard]] int fd() const noexcept { return connection_.get(); }

  // Answers all that is asked by now, and does not wait for more. False: it is mounted no more.
  bool serve();

  // The first request that could not be met, because of the source or the target. The program that
  // asked may have overlooked it.
  [[nodiscard]] const std::optional<Error>& failure() const noexcept { return failure_; }

 private:
  struct Request;

  void answer(const Request& request);
  [[nodiscard]] int carry_out(const Request& request);
  void initialize(const Request& request);
  void tell_attributes(const Request& request);
  void tell_space(const Request& request);
  void open(const Request& request);
  void read(const Request& request);
  void write(const Request& request);
  void allocate(const Request& request);
  [[nodiscard]] ByteRange place_of(std::uint64_t offset, std::uint64_t length) const;
  void reply(const Request& request, int error, const void* bytes, std::size_t length);
  template <class Body>
  void reply_with(const Request& request, const Body& body) {
    reply(request, 0, &body, sizeof body);
  }

  Ring& ring_;
  const ViewContent content_;
  FileDescriptor connection_;
  AlignedMemory question_;
  AlignedMemory data_;
  std::optional<Error> failure_;
};

}  // namespace io
