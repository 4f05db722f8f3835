#include "io/error.hpp"

#include <cstring>

#include <fmt/format.h>

namespace io {

Error::Error(ErrorKind kind, std::string path, std::string text)
    : kind_(kind), path_(std::move(path)) {
  message_ = path_.empty() ? std::move(text) : fmt::format("{}: {}", path_, text);
}

Error Error::system(std::string_view operation, std::string path, int error_number,
                    std::optional<ByteRange> range) {
  std::string text(operation);
  if (range) {
    text += fmt::format(" of {} bytes at offset {}", range->length, range->offset);
  }
  text += ": " + errno_text(error_number);
  Error error(ErrorKind::system, std::move(path), std::move(text));
  error.range_ = range;
  error.error_number_ = error_number;
  return error;
}

Error Error::format(std::string path, std::uint64_t offset, std::string text) {
  Error error(ErrorKind::format, std::move(path), fmt::format("at offset {}: {}", offset, text));
  error.range_ = ByteRange{offset, 0};
  return error;
}

std::string errno_text(int error_number) {
  // GNU's strerrordesc_np is not translated and thread-safe, but glibc 2.32 or later.
  const char* text = strerrordesc_np(error_number);
  return text != nullptr ? text : fmt::format("error {}", error_number);
}

}  // namespace io
