#include "imgtool/guest/child_processes.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <signal.h>
#include <unistd.h>

namespace imgtool::guest {
namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

pid_t parent_of(const std::filesystem::path& process) {
  const std::string text = text_of(process / "stat");
  // "812 (a name) S 811 ...", and the name may hold anything.
  const auto close = text.rfind(") ");
  if (close == std::string::npos || close + 4 >= text.size()) return 0;
  pid_t parent = 0;
  std::from_chars(text.data() + close + 4, text.data() + text.size(), parent);
  return parent;
}

// One that ends meanwhile may be missed, or be there no more.
template <typename F>
void for_each_child(const F& f) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto end = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (end.ptr != name.data() + name.size() || end.ec != std::errc()) continue;
    if (parent_of(entry.path()) == ::getpid()) f(pid, entry.path());
  }
}

std::string name_of(const std::filesystem::path& process) {
  const std::string words = text_of(process / "cmdline");
  return std::filesystem::path(words.substr(0, words.find('\0'))).filename().string();
}

}  // namespace

void kill_children() noexcept {
  try {
    for_each_child([](pid_t pid, const auto&) { ::kill(pid, SIGKILL); });
  } catch (const std::exception&) {
    return;  // a process that ended just now; the next round sees the others
  }
}

bool child_runs(std::string_view program) noexcept {
  bool found = false;
  try {
    for_each_child([&](pid_t, const std::filesystem::path& process) {
      found = found || name_of(process) == program;
    });
  } catch (const std::exception&) {
    return found;
  }
  return found;
}

}  // namespace imgtool::guest
