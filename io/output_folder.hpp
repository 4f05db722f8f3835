// A folder that appears under its name only when it is complete: the counterpart of OutputFile.
//
// It is filled as NAME.imgtool-partial beside it. A run that fails removes its own; what a killed
// run left is refused, by name.
#pragma once

#include <string>

#include "io/file.hpp"

namespace io {

class OutputFolder {
 public:
  // Refuses (ErrorKind::refused) a name that exists, be it a folder or not. Throws Error.
  explicit OutputFolder(const std::string& path);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  // Removes the partial folder, unless it was published.
  ~OutputFolder();

  // What files are made in, by openat() and the like.
  [[nodiscard]] const FileDescriptor& folder() const noexcept { return folder_; }
  [[nodiscard]] const std::string& partial_path() const noexcept { return partial_path_; }

  // Flushes all of it, and gives it its name. Throws Error; ErrorKind::refused when something of
  // this name appeared meanwhile, which is left as it is.
  void publish();

 private:
  std::string path_;
  std::string partial_path_;
  FileDescriptor folder_;
  bool published_ = false;
};

}  // namespace io
