// A folder of a test's own, gone with all that is in it when the object ends.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "io/file.hpp"

namespace io {

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& parent = testing::TempDir()) {
    std::string name = (std::filesystem::path(parent) / "io_test.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    folder_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }

  // A new file with this content, open for reading and writing.
  File make(const std::string& name, std::span<const std::byte> content = {}) const {
    File file(path(name), O_RDWR | O_CREAT | O_EXCL);
    file.write_at(0, content);
    return file;
  }

 private:
  std::filesystem::path folder_;
};

// All of a file or block device.
inline std::vector<std::byte> content_of(const std::string& path) {
  const File file(path, O_RDONLY);
  std::vector<std::byte> bytes(file.size());
  bytes.resize(file.read_at(0, bytes));
  return bytes;
}

}  // namespace io
