// A file that appears under its name only when it is complete and on the disk.
//
// It is written as NAME.imgtool-partial in the same directory, locked, so that two writers cannot
// meet. A left-over one of a run that was killed is taken over, one that another user made is
// refused; a run that fails removes its own, unless it went on with what an earlier one had left.
// A file that is replaced is locked as QEMU locks images (io/image_lock.hpp), from the start until
// the new one has its name.
#pragma once

#include <string>

#include <sys/types.h>

#include "io/file.hpp"

namespace io {

class OutputFile {
 public:
  enum class Start : std::uint8_t { empty, resume };

  // Refuses (ErrorKind::refused) a name that exists, unless `replace`, and one that another run
  // is writing. Start::resume goes on with what an earlier run left half-written, or in place
  // with what it had finished; whether that is what it is taken for is the caller's to check. A
  // new file gets `mode`, less the umask; one that replaces another gets the mode of that, and has
  // no more than it from the start. Throws Error.
  OutputFile(const std::string& path, bool replace, Start start = Start::empty, mode_t mode = 0666);
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

  // Whether the file system has the locks that keep two writers apart.
  [[nodiscard]] bool locked() const noexcept { return locked_; }

  // Flushes, gives the file its name, and the mode and owner of the one it replaces, and makes the
  // name last. Throws Error, also for what the kernel says only when a file is closed;
  // ErrorKind::refused when a file of this name appeared meanwhile, which is left as it is.
  void publish();

 private:
  void look_at_old(bool exists);
  void open_partial(mode_t mode);
  [[nodiscard]] bool try_create(mode_t mode);
  void lock();
  void refuse_foreign() const;
  void take_over_mode() const;
  void give_name() const;

  std::string path_;
  std::string partial_path_;
  bool replace_;
  bool in_place_ = false;  // the file has its name already
  bool keep_ = false;
  bool published_ = false;
  bool locked_ = false;
  File old_;  // that will be replaced; held for its locks
  File file_;
};

}  // namespace io
