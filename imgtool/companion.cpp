#include "imgtool/companion.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "imgtool/program.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

namespace fs = std::filesystem;

// Why another user could have put `path` there, or "". Each folder on the way to it, and the file
// itself, has to belong to root or to the caller and be writable by no other user; a folder such
// as /tmp, in which users cannot replace each other's files, may lie on the way.
std::string why_not_trusted(const fs::path& path) {
  fs::path part;
  for (const auto& name : path) {
    part /= name;
    struct stat found {};
    if (lstat(part.c_str(), &found) != 0) return "";  // execv() says what is the matter
    if (found.st_uid != 0 && found.st_uid != geteuid()) {
      return fmt::format("{} belongs to user {}", part.string(), found.st_uid);
    }
    const bool sticky_folder = S_ISDIR(found.st_mode) && (found.st_mode & S_ISVTX) != 0;
    const bool own_group = found.st_gid == 0 || (geteuid() != 0 && found.st_gid == getegid());
    const bool others_write =
        (found.st_mode & S_IWOTH) != 0 || ((found.st_mode & S_IWGRP) != 0 && !own_group);
    if (others_write && !sticky_folder && !S_ISLNK(found.st_mode)) {
      return fmt::format("{} can be written by other users", part.string());
    }
  }
  return "";
}

// Installed as PREFIX/bin/imgtool it is in PREFIX/libexec; where it was built, below imgtool's own
// folder; else where this build is to be installed.
std::string place_of(const std::string& program) {
  fs::path place = fs::read_symlink("/proc/self/exe").parent_path();
  if (place.filename() == "bin" || place.filename() == "sbin") place = place.parent_path();
  const auto beside = place / "libexec/imgtool" / program;
  const auto installed = fs::path(IMGTOOL_LIBEXEC) / program;
  std::error_code error;
  return fs::exists(beside, error) || !fs::exists(installed, error) ? beside.string()
                                                                    : installed.string();
}

}  // namespace

std::string companion_path(std::string_view companion) {
  std::string path = place_of(fmt::format("imgtool-{}", companion));
  const std::string why = why_not_trusted(path);
  if (why.empty()) return path;
  throw io::Error::refusal(
      path, fmt::format("is not run: {}; install imgtool where root or you alone can write", why));
}

void become_companion(std::string_view companion, std::string_view command,
                      const Arguments& arguments) {
  const std::string path = companion_path(companion);
  std::vector<std::string> words = {path, std::string(command)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  execv(path.c_str(), argv.data());
  if (errno != ENOENT && errno != ENOTDIR) {
    throw io::Error::system("execute", path, errno);
  }
  throw io::Error::refusal(
      path, fmt::format("not there, and {} needs it: build and install imgtool-{} too", command,
                        companion));
}

int run_companion(int argc, char** argv, std::span<const Command> commands) {
  return run_program(argc, argv, [commands](const Arguments& arguments) {
    const auto named = [&](const Command& command) {
      return !arguments.empty() && command.name == arguments.front();
    };
    const auto found = std::find_if(commands.begin(), commands.end(), named);
    if (found == commands.end()) {
      throw UsageError("this program is run by imgtool (imgtool help lists the commands)");
    }
    return found->run({arguments.begin() + 1, arguments.end()});
  });
}

}  // namespace imgtool
