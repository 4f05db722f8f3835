#include "imgtool/image_source.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "io/error.hpp"
#include "io/file_source.hpp"
#include "io/pipe_source.hpp"

namespace imgtool {
namespace {

io::File open_image(const std::string& path) {
  if (path != "-") return io::File(path, O_RDONLY);
  const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) throw io::Error::system("open", "standard input", errno);
  return {io::FileDescriptor(fd), "standard input"};
}

bool at_start(const io::File& file) { return lseek(file.fd(), 0, SEEK_CUR) == 0; }

}  // namespace

ImageSource::ImageSource(io::Ring& ring, const std::string& path, const io::StopFlag& stop,
                         bool direct)
    : file_(open_image(path)), status_(file_.status()) {
  const bool seekable =
      (status_.kind == io::FileKind::regular || status_.kind == io::FileKind::block_device) &&
      at_start(file_);
  if (seekable) {
    source_ = std::make_unique<io::FileSource>(
        ring, file_, status_.size,
        direct && path != "-");  // the flag would stay on our caller's file
  } else if (status_.kind == io::FileKind::pipe || path == "-") {
    source_ = std::make_unique<io::PipeSource>(ring, file_, stop);
  } else {
    throw io::Error(io::ErrorKind::unsupported, path, "is neither a file, nor a disk, nor a pipe");
  }
}

void ImageSource::check_unchanged() const {
  if (status_.kind != io::FileKind::regular) return;
  const io::FileStatus now = file_.status();
  if (now.size == status_.size && now.modified_ns == status_.modified_ns) return;
  throw io::Error(io::ErrorKind::mismatch, file_.path(),
                  "was changed while it was read; start again when nothing writes to it");
}

}  // namespace imgtool
