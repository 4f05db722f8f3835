#include "io/devices/system_roots.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <memory>

#include "io/error.hpp"
#include "io/file.hpp"

namespace io {

std::string SystemRoots::in_dev(std::string_view path) const {
  if (!dev_is_real() && path.starts_with("/dev/")) {
    return dev + std::string(path.substr(4));
  }
  return std::string(path);
}

void throw_if_unknown(const char* what, const std::string& path) {
  constexpr std::array<int, 6> say_nothing = {EIO, ENOMEM, EMFILE, ENFILE, EINTR, EAGAIN};
  const int error_number = errno;
  if (std::find(say_nothing.begin(), say_nothing.end(), error_number) == say_nothing.end()) return;
  throw Error::system(what, path, error_number);
}

namespace {

enum class ReadErrors : std::uint8_t { give_nothing, throw_error };

std::optional<std::string> read_file(const std::string& path, std::size_t limit,
                                     ReadErrors errors) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) {
    throw_if_unknown("open", path);
    return std::nullopt;
  }
  std::string text;
  std::array<char, 4096> buffer;  // a sysfs attribute is never longer
  while (text.size() < limit) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      if (errors == ReadErrors::throw_error) throw_if_unknown("read", path);
      return std::nullopt;
    }
    if (count == 0) {
      break;
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  text.resize(std::min(text.size(), limit));
  return text;
}

}  // namespace

std::optional<std::string> read_bytes(const std::string& path, std::size_t limit) {
  return read_file(path, limit, ReadErrors::give_nothing);
}

std::optional<std::string> read_surely(const std::string& path, std::size_t limit) {
  return read_file(path, limit, ReadErrors::throw_error);
}

std::optional<std::string> name_from(std::optional<std::string> bytes) {
  if (bytes && bytes->ends_with('\n')) {
    bytes->pop_back();
  }
  return bytes;
}

std::optional<std::string> read_name(const std::string& path) {
  return name_from(read_bytes(path));
}

std::string read_text(const std::string& path) { return trimmed(read_bytes(path).value_or("")); }

std::optional<std::uint64_t> read_number(const std::string& path) {
  return parse_number(read_text(path));
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (!dir) {
    throw_if_unknown("open", folder);
    return names;
  }
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
    errno = 0;
  }
  throw_if_unknown("read", folder);
  return names;
}

std::optional<std::string> link_text(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  const ssize_t count = ::readlink(path.c_str(), buffer.data(), buffer.size());
  if (count < 0) {
    throw_if_unknown("read the link", path);
    return std::nullopt;
  }
  return std::string(buffer.data(), static_cast<std::size_t>(count));
}

std::optional<std::string> canonical(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  if (!real) {
    throw_if_unknown("look for", path);
    return std::nullopt;
  }
  return std::string(real.get());
}

bool exists(const std::string& path) {
  if (::access(path.c_str(), F_OK) == 0) return true;
  throw_if_unknown("look for", path);
  return false;
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view blanks(" \t\r\n\0", 5);
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) {
    return "";
  }
  return std::string(text.substr(begin, text.find_last_not_of(blanks) - begin + 1));
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace io
