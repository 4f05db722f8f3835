// A file that appears under its name only when it is complete and on the disk.
//
// It is written as NAME.imgtool-partial in the same directory, locked, so that two writers cannot
// meet. A left-over one of a run that was killed is taken over; a run that fails removes its own.
#pragma once

#include <string>

#include "io/file.hpp"

namespace io {

class OutputFile {
 public:
  enum class Start : std::uint8_t { empty, resume };

  // Refuses (ErrorKind::refused) a name that exists, unless `replace`, and one that another run
  // is writing. Start::resume goes on with what an earlier run left half-written, or in place
  // with what it had finished.
  OutputFile(const std::string& path, bool replace, Start start = Start::empty);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  // Removes the partial file, unless it was published or is kept.
  ~OutputFile();

  [[nodiscard]] File& file() noexcept { return file_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::string& partial_path() const noexcept { return partial_path_; }

  // Leaves the partial file behind for a later Start::resume.
  void keep_partial() noexcept { keep_ = true; }

  // Flushes, gives the file its name, and makes the name last. Throws Error.
  void publish();

 private:
  void lock();

  std::string path_;
  std::string partial_path_;
  bool replace_;
  bool in_place_ = false;  // the file has its name already
  bool keep_ = false;
  bool published_ = false;
  File file_;
};

}  // namespace io
