// An image as the commands name it: a path, or "-" for standard input.
#pragma once

#include <memory>
#include <string>

#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/source.hpp"

namespace imgtool {

// Opened for reading only.
class ImageSource {
 public:
  // `ring` and `stop` outlive it. Throws io::Error. `direct`: read past the page cache where
  // that can be done.
  ImageSource(io::Ring& ring, const std::string& path, const io::StopFlag& stop, bool direct);

  [[nodiscard]] io::Source& source() { return *source_; }
  [[nodiscard]] const io::File& file() const { return file_; }

  // Throws ErrorKind::system when the file was written to since it was opened: then what was
  // read is neither the old content nor the new.
  void check_unchanged() const;

 private:
  io::File file_;
  io::FileStatus status_;
  std::unique_ptr<io::Source> source_;
};

}  // namespace imgtool
