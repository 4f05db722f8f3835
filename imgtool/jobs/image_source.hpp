// An image as the commands name it: a path, or "-" for standard input. Its content decides its
// format, unless the options say so. A compressed stream, be it a file or a pipe, and a raw pipe
// are read once, from front to back: source().seekable() tells.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/images/image.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/pipe_source.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

// Says on standard error when another program has `file` locked as one that writes to it, for
// readers that take no locks (--force-share).
void note_writers(const io::File& file);
// The same of all files of an image.
void note_writers(const formats::Image& image);

// Opened for reading only.
class ImageSource {
 public:
  // `ring` and `stop` outlive it. `options.workers` is set here, `threads` of them (0: one for each
  // processor). Throws io::Error; ErrorKind::refused when the image names files that `options`
  // does not allow to open.
  ImageSource(io::Ring& ring, const std::string& path, formats::OpenOptions options,
              const io::StopFlag& stop, unsigned threads = 0);

  [[nodiscard]] io::Source& source() {
    return image_ ? static_cast<io::Source&>(*image_) : *stream_;
  }

  // Null for plain bytes from a pipe.
  [[nodiscard]] const formats::Image* image() const { return image_.get(); }

  // Throws where `size`, that of all content, is 0: a download that failed, or a program that
  // wrote nothing. Every disk would be the same as that.
  void refuse_empty(std::uint64_t size) const;

  // A raw image or pipe: the file's bytes are the disk's.
  [[nodiscard]] bool is_plain() const {
    return !image_ || image_->format() == formats::Format::raw;
  }

  // Chunks are best multiples of this, in bytes; a power of two.
  [[nodiscard]] std::uint64_t cluster_size() const { return image_ ? image_->cluster_size() : 1; }

  // Everything that is read: the image's own file, then those it names. None of them may be
  // written to meanwhile.
  [[nodiscard]] std::vector<std::string> paths() const;

  // A text that is another one when any of the files was written to, or when another snapshot
  // was asked for.
  [[nodiscard]] std::string version() const;

  // When all was read. Throws ErrorKind::mismatch when a file was written to since it was opened:
  // then what was read is neither the old content nor the new. Throws ErrorKind::unsupported when
  // the last bytes of a pipe say that it was no disk that came through it.
  void check_unchanged() const;

 private:
  struct OpenedFile {
    const io::File* file;
    io::FileStatus status;  // when it was opened
  };

  void open_stream(io::Ring& ring, io::File file, const io::StopFlag& stop);
  void check_end_of_pipe() const;

  io::WorkerPool workers_;  // its threads start when there is something to decode
  formats::OpenOptions options_;
  io::File pipe_;  // of the stream
  std::unique_ptr<formats::Image> image_;
  std::unique_ptr<io::PipeSource> stream_;
  std::vector<OpenedFile> files_;
};

}  // namespace imgtool
