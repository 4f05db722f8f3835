#include "io/system_roots.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <memory>

#include "io/file.hpp"

namespace io {

std::string SystemRoots::in_dev(std::string_view path) const {
  if (!dev_is_real() && path.starts_with("/dev/")) {
    return dev + std::string(path.substr(4));
  }
  return std::string(path);
}

std::optional<std::string> read_bytes(const std::string& path, std::size_t limit) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) {
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

std::optional<std::string> read_name(const std::string& path) {
  auto text = read_bytes(path);
  if (text && text->ends_with('\n')) {
    text->pop_back();
  }
  return text;
}

std::string read_text(const std::string& path) { return trimmed(read_bytes(path).value_or("")); }

std::optional<std::uint64_t> read_number(const std::string& path) {
  return parse_number(read_text(path));
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (!dir) {
    return names;
  }
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  return names;
}

std::optional<std::string> link_text(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  const ssize_t count = ::readlink(path.c_str(), buffer.data(), buffer.size());
  if (count < 0) {
    return std::nullopt;
  }
  return std::string(buffer.data(), static_cast<std::size_t>(count));
}

std::optional<std::string> canonical(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  if (!real) {
    return std::nullopt;
  }
  return std::string(real.get());
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

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
