// The one exception of io/ and formats/: what was done, to what, where, and why it failed.
//
// `what()` is one line that needs no context:
//   disk.img: read of 1048576 bytes at offset 4194304: Input/output error
// Names inside it are as the caller gave them; code that prints them escapes them.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "io/byte_range.hpp"

namespace io {

enum class ErrorKind : std::uint8_t {
  system,       // the kernel said no: errno tells why
  format,       // the bytes are not what their format promises
  unsupported,  // well-formed, but a feature we do not have
  refused,      // could be done, but would be unsafe: see the text for the way on
  mismatch,     // content differs from what it must be
  cancelled,    // the user asked to stop
};

class Error : public std::exception {
 public:
  // `text` is the human part; for ErrorKind::system it may be empty and errno speaks.
  Error(ErrorKind kind, std::string path, std::string text);

  // A failed system call. `operation` is a verb or a noun phrase: "open", "read".
  static Error system(std::string_view operation, std::string path, int error_number,
                      std::optional<ByteRange> range = std::nullopt);
  // ErrorKind::refused; `text` tells why, and the way on.
  static Error refusal(std::string path, std::string text) {
    return {ErrorKind::refused, std::move(path), std::move(text)};
  }
  // Bytes at `offset` of `path` break their format's rules.
  static Error format(std::string path, std::uint64_t offset, std::string text);

  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }
  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Bytes of `path`; for a format error the length is 0.
  [[nodiscard]] const std::optional<ByteRange>& range() const noexcept { return range_; }
  // 0 unless kind() is system.
  [[nodiscard]] int error_number() const noexcept { return error_number_; }

 private:
  ErrorKind kind_;
  std::string path_;
  std::optional<ByteRange> range_;
  int error_number_ = 0;
  std::string message_;
};

// The text of an errno value, in English whatever the locale.
std::string errno_text(int error_number);

}  // namespace io
