// A file that appears under its name only when it is complete and on the disk.
//
// It is written as NAME.imgtool-partial in the same directory, locked, so that two writers cannot
// meet. A left-over one of a run that was killed is taken over; a run that fails removes its own,
// unless it went on with what an earlier one had left.
#pragma once

#include <string>

#include "io/file.hpp"

namespace io {

class OutputFile {
 public:
  enum class Start : std::uint8_t { empty, resume };

  // Refuses (ErrorKind::refused) a name that exists, unless `replace`, and one that another run
  // is writing. Start::resume goes on with what an earlier run left half-written, or in place
  // with what it had finished; whether that is what it is taken for is the caller's to check.
  OutputFile(const std::string& path, bool replace, Start start = Start::empty);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  // Removes the partial file, unless it was published or is kept.
  ~OutputFile();

  [[nodiscard]] File& file() noexcept { return file_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::string& partial_path() const noexcept { return partial_path_; }
  // What it is called, for an output of this name, until it is complete.
  [[nodiscard]] static std::string partial_path_of(const std::string& path);

  // Whether the partial file is left behind for a later Start::resume.
  void keep_partial(bool keep = true) noexcept { keep_ = keep; }

  // Flushes, gives the file its name, and the mode and owner of the one it replaces, and makes the
  // name last. Throws Error.
  void publish();

 private:
  void lock();
  void refuse_other_names() const;
  void take_over_mode() const;

  std::string path_;
  std::string partial_path_;
  bool replace_;
  bool in_place_ = false;  // the file has its name already
  bool keep_ = false;
  bool published_ = false;
  File file_;
};

}  // namespace io
