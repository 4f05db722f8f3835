#include "io/devices/mount_table.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include "io/file.hpp"

namespace io {
namespace {

// "36 35 98:0 /root /mount/point rw,noatime shared:1 - ext3 /dev/root rw,errors=continue"
std::optional<Mount> parse_mount(std::string_view line) {
  const auto fields = split(line, ' ');
  if (fields.size() < 7) {
    return std::nullopt;
  }
  std::size_t dash = 6;  // optional fields end with a lone dash
  while (dash < fields.size() && fields[dash] != "-") {
    ++dash;
  }
  const auto numbers = split(fields[2], ':');
  if (dash + 2 >= fields.size() || numbers.size() != 2) {
    return std::nullopt;
  }
  Mount mount;
  mount.id = parse_number(fields[0]).value_or(0);
  mount.device = makedev(static_cast<unsigned>(parse_number(numbers[0]).value_or(0)),
                         static_cast<unsigned>(parse_number(numbers[1]).value_or(0)));
  mount.root = unescape_octal(fields[3]);
  mount.mount_point = unescape_octal(fields[4]);
  mount.type = unescape_octal(fields[dash + 1]);
  mount.source = unescape_octal(fields[dash + 2]);
  if (dash + 3 < fields.size()) {
    mount.options = fields[dash + 3];
  }
  return mount;
}

bool lies_in(std::string_view path, std::string_view folder) {
  return folder == "/" ||
         (path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/'));
}

// The mount's number, as the kernel knows it for an open file (since 3.15).
std::optional<std::uint64_t> mount_id(const std::string& path, const SystemRoots& roots) {
  const FileDescriptor fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) {
    throw_if_unknown("open", path);
    return std::nullopt;
  }
  const auto info = read_surely(roots.proc + "/self/fdinfo/" + std::to_string(fd.get()));
  for (const std::string_view line : split(info ? std::string_view(*info) : "", '\n')) {
    if (line.starts_with("mnt_id:")) {
      return parse_number(trimmed(line.substr(7)));
    }
  }
  return std::nullopt;
}

}  // namespace

std::string unescape_octal(std::string_view text) {
  std::string result;
  const auto digit = [&](std::size_t at) { return at < text.size() ? text[at] - '0' : -1; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = digit(i + 1);
    const int middle = digit(i + 2);
    const int low = digit(i + 3);
    if (text[i] == '\\' && high >= 0 && high <= 3 && middle >= 0 && middle <= 7 && low >= 0 &&
        low <= 7) {
      result += static_cast<char>(high * 64 + middle * 8 + low);
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::vector<std::string> Mount::option_values(std::string_view key) const {
  std::vector<std::string> values;
  for (const std::string_view option : split(options, ',')) {
    const std::size_t equals = option.find('=');
    if (equals != std::string_view::npos && option.substr(0, equals) == key) {
      values.push_back(unescape_octal(option.substr(equals + 1)));
    }
  }
  return values;
}

std::vector<Mount> read_mounts(const SystemRoots& roots) {
  std::vector<Mount> mounts;
  const auto text = read_surely(roots.proc + "/self/mountinfo", std::size_t{64} << 20);
  for (const std::string_view line : split(text ? std::string_view(*text) : "", '\n')) {
    if (auto mount = parse_mount(line)) {
      mounts.push_back(std::move(*mount));
    }
  }
  return mounts;
}

std::vector<std::string> read_swaps(const SystemRoots& roots) {
  std::vector<std::string> swaps;
  const auto text = read_surely(roots.proc + "/swaps");
  for (const std::string_view line : split(text ? std::string_view(*text) : "", '\n')) {
    if (line.starts_with('/')) {  // the first line is a heading
      swaps.push_back(unescape_octal(line.substr(0, line.find_first_of(" \t"))));
    }
  }
  return swaps;
}

const Mount* mount_of(const std::string& path, const std::vector<Mount>& mounts,
                      const SystemRoots& roots) {
  if (const auto id = mount_id(path, roots)) {
    for (const Mount& mount : mounts) {
      if (mount.id == *id) {
        return &mount;
      }
    }
  }
  // Before 3.15: the longest mount point above it; of equals, the one on top.
  const auto real = canonical(path);
  const Mount* best = nullptr;
  for (const Mount& mount : mounts) {
    if (real && lies_in(*real, mount.mount_point) &&
        (best == nullptr || mount.mount_point.size() >= best->mount_point.size())) {
      best = &mount;
    }
  }
  return best;
}

}  // namespace io
