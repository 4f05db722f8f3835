#include "imgtool/jobs/host_features.hpp"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>

#include "imgtool/terminal/human.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/image_lock.hpp"
#include "io/ring.hpp"
#include "io/unnamed_file.hpp"

namespace imgtool {
namespace {

namespace fs = std::filesystem;

std::string words_of(int error_number) { return std::strerror(error_number); }

HostFinding look_at_io_uring() {
  try {
    (void)io::make_ring({.engine = io::Engine::uring});
    return {HostFeature::io_uring, true, ""};
  } catch (const io::Error& error) {
    return {HostFeature::io_uring, false, error.what()};
  }
}

// --- the folder -------------------------------------------------------------------------------

// What `look` finds out about a file in the folder; an error is the finding.
template <class Look>
HostFinding look_at_file(HostFeature feature, const std::string& folder, const Look& look) {
  try {
    io::File file(io::make_unnamed_file(folder), folder);
    return {feature, look(file), folder};
  } catch (const io::Error& error) {
    return {feature, false, error.what()};
  }
}

HostFinding look_at_room(const std::string& folder) {
  try {
    const std::uint64_t bytes = io::room_in(folder);
    return {HostFeature::room, bytes > 0, fmt::format("{} free in {}", human_size(bytes), folder)};
  } catch (const io::Error& error) {
    return {HostFeature::room, false, error.what()};
  }
}

// --- the machine that shrink and sparsify work in -----------------------------------------------

HostFinding look_at_kvm() {
  const io::FileDescriptor device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  return {HostFeature::kvm, static_cast<bool>(device), device ? "/dev/kvm" : words_of(errno)};
}

std::optional<std::string> find_program(std::string_view name) {
  const char* const path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    const std::string place = fmt::format("{}/{}", rest.substr(0, colon), name);
    if (::access(place.c_str(), X_OK) == 0 && !fs::is_directory(place)) return place;
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  return std::nullopt;
}

std::string machine() {
  struct utsname names {};
  return uname(&names) == 0 ? names.machine : "x86_64";
}

// libguestfs's own order: the variable, else a program of the system.
HostFinding look_at_qemu() {
  if (const char* const stated = std::getenv("LIBGUESTFS_HV")) {
    return {HostFeature::qemu, ::access(stated, X_OK) == 0, stated};
  }
  const std::string name = fmt::format("qemu-system-{}", machine());
  for (const std::string& place :
       {find_program(name).value_or(""), std::string("/usr/libexec/qemu-kvm")}) {
    if (!place.empty() && ::access(place.c_str(), X_OK) == 0) {
      return {HostFeature::qemu, true, place};
    }
  }
  return {HostFeature::qemu, false, fmt::format("no {} in PATH", name)};
}

// Each part of the path holds supermin.d, from which the machine is made, or is a fixed one.
HostFinding look_at_appliance() {
  const char* const stated = std::getenv("LIBGUESTFS_PATH");
  const std::string libraries = fmt::format("/usr/lib/{}-linux-gnu/guestfs", machine());
  const std::string all =
      stated != nullptr ? std::string(stated) : libraries + ":/usr/lib64/guestfs:/usr/lib/guestfs";
  std::error_code error;
  for (std::string_view rest = all; !rest.empty();) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    const fs::path place(rest.substr(0, colon));
    if (fs::exists(place / "supermin.d", error) || fs::exists(place / "README.fixed", error)) {
      return {HostFeature::appliance, true, place.string()};
    }
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  return {HostFeature::appliance, false, fmt::format("nothing in {}", all)};
}

// Debian and Ubuntu let root alone read some.
HostFinding look_at_kernel() {
  std::string unreadable;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/boot", error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("vmlinuz-")) continue;
    const std::string modules = "/lib/modules/" + name.substr(std::strlen("vmlinuz-"));
    if (!fs::exists(modules, error)) continue;
    if (::access(entry.path().c_str(), R_OK) == 0) {
      return {HostFeature::kernel, true, entry.path().string()};
    }
    unreadable = fmt::format("{}: {}", entry.path().string(), words_of(errno));
  }
  return {HostFeature::kernel, false,
          unreadable.empty() ? "no /boot/vmlinuz-* with its modules" : unreadable};
}

// --- programs -----------------------------------------------------------------------------------

std::string last_line_of(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  const std::size_t newline = text.rfind('\n');
  return newline == std::string::npos ? text : text.substr(newline + 1);
}

// Everything up to the end of the pipe, or to the deadline; keeps the last 4 KiB.
std::string read_until(int fd, std::chrono::steady_clock::time_point deadline) {
  constexpr std::size_t most = 4096;
  std::string text;
  std::array<char, most> piece{};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    struct pollfd wanted {
      .fd = fd, .events = POLLIN, .revents = 0
    };
    if (left.count() <= 0 || poll(&wanted, 1, static_cast<int>(left.count())) == 0) return text;
    const ssize_t count = ::read(fd, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(count));
    if (text.size() > most) text.erase(0, text.size() - most);
  }
}

}  // namespace

const std::vector<std::string>& host_feature_names() {
  static const std::vector<std::string> names = {"io_uring", "direct-io", "locks",     "room",
                                                 "kvm",      "qemu",      "appliance", "kernel",
                                                 "shrink",   "attach"};
  return names;
}

std::vector<HostFinding> look_at_host(const std::string& folder) {
  const auto direct = [](io::File& file) { return file.try_direct(); };
  const auto locks = [](io::File& file) { return io::lock_image(file, io::ImageUse::writing); };
  return {look_at_io_uring(),
          look_at_file(HostFeature::direct_io, folder, direct),
          look_at_file(HostFeature::locks, folder, locks),
          look_at_room(folder),
          look_at_kvm(),
          look_at_qemu(),
          look_at_appliance(),
          look_at_kernel()};
}

ProgramResult try_program(const std::string& program, const std::vector<std::string>& arguments) {
  constexpr auto patience = std::chrono::seconds(20);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw io::Error::system("make a pipe to", program, errno);
  const io::FileDescriptor ours(ends[0]);
  io::FileDescriptor theirs(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const int failed = posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw io::Error::system("execute", program, failed);
  theirs = io::FileDescriptor();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  ProgramResult result;
  result.last_line = last_line_of(read_until(ours.get(), deadline));
  if (std::chrono::steady_clock::now() >= deadline) {
    kill(child, SIGKILL);
    result.last_line = fmt::format("no answer for {} s", patience.count());
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace imgtool
