// A folder of this run's own for what is thrown away: the overlay that the appliance writes to.
//
// It goes when the run ends. What a killed run left behind goes when the next one starts in the
// same place: such a folder is known by its name, and by not being locked.
#pragma once

#include <cstdint>
#include <string>

#include "io/file.hpp"

namespace imgtool::guest {

class WorkFolder {
 public:
  // Makes one inside `parent`. Throws io::Error.
  explicit WorkFolder(const std::string& parent);
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  ~WorkFolder();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + '/' + name; }

  // Bytes that can still be written here.
  [[nodiscard]] std::uint64_t room() const;

 private:
  std::string path_;
  io::FileDescriptor lock_;  // on the folder itself
};

}  // namespace imgtool::guest
