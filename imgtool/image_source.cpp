#include "imgtool/image_source.hpp"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "io/error.hpp"
#include "io/pipe_source.hpp"

namespace imgtool {
namespace {

constexpr const char* standard_input = "standard input";

io::File open_file(const std::string& path) {
  if (path != "-") return io::File(path, O_RDONLY);
  const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) throw io::Error::system("open", standard_input, errno);
  return {io::FileDescriptor(fd), standard_input};
}

// Standard input may be a file that somebody has read a part of.
bool can_seek(const io::File& file, io::FileKind kind) {
  return (kind == io::FileKind::regular || kind == io::FileKind::block_device) &&
         lseek(file.fd(), 0, SEEK_CUR) == 0;
}

}  // namespace

ImageSource::ImageSource(io::Ring& ring, const std::string& path, formats::OpenOptions options,
                         const io::StopFlag& stop)
    : workers_(std::max(1U, std::thread::hardware_concurrency())), options_(std::move(options)) {
  io::File file = open_file(path);
  const io::FileStatus status = file.status();
  if (can_seek(file, status.kind)) {
    options_.workers = &workers_;
    if (path == "-") options_.direct = false;  // the flag would stay on our caller's file
    image_ = formats::open_image(ring, std::move(file), options_);
    for (const io::File* opened : image_->files()) files_.push_back({opened, opened->status()});
    files_.front().status = status;  // from before its headers were read
  } else if (status.kind == io::FileKind::pipe || path == "-") {
    open_stream(ring, std::move(file), stop);
  } else {
    throw io::Error(io::ErrorKind::unsupported, path, "is neither a file, nor a disk, nor a pipe");
  }
}

void ImageSource::open_stream(io::Ring& ring, io::File file, const io::StopFlag& stop) {
  const formats::Format format = options_.format.value_or(formats::Format::raw);
  if (format != formats::Format::raw || !options_.snapshot.empty()) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    "is a pipe; images of that kind can only be read from a file");
  }
  pipe_ = std::move(file);
  stream_ = std::make_unique<io::PipeSource>(ring, pipe_, stop);
}

std::vector<std::string> ImageSource::paths() const {
  std::vector<std::string> paths;
  const auto add = [&paths](const io::File& file) {
    paths.push_back(file.path() == standard_input ? "/proc/self/fd/0" : file.path());
  };
  for (const OpenedFile& opened : files_) add(*opened.file);
  if (stream_) add(pipe_);
  return paths;
}

std::string ImageSource::version() const {
  std::string text;
  for (const OpenedFile& opened : files_) {
    text += fmt::format("{}changed at {} ns", text.empty() ? "" : ", ", opened.status.modified_ns);
  }
  if (!options_.snapshot.empty()) text += ", snapshot " + options_.snapshot;
  return text;
}

void ImageSource::check_unchanged() const {
  for (const auto& [file, before] : files_) {
    if (before.kind != io::FileKind::regular) continue;
    const io::FileStatus now = file->status();
    if (now.size == before.size && now.modified_ns == before.modified_ns) continue;
    throw io::Error(io::ErrorKind::mismatch, file->path(),
                    "was changed while it was read; start again when nothing writes to it");
  }
}

}  // namespace imgtool
