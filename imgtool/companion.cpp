#include "imgtool/companion.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "imgtool/program.hpp"
#include "imgtool/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

// Installed as PREFIX/bin/imgtool it is in PREFIX/libexec; where it was built, below imgtool's own
// folder. Never beside any other folder: that may be one, as /tmp, in which anybody can put things.
std::string companion_path(const std::string& program) {
  std::filesystem::path place = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  if (place.filename() == "bin" || place.filename() == "sbin") place = place.parent_path();
  return (place / "libexec/imgtool" / program).string();
}

}  // namespace

void become_companion(std::string_view companion, std::string_view command,
                      const Arguments& arguments) {
  const std::string program = fmt::format("imgtool-{}", companion);
  const std::string path = companion_path(program);
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
      path, fmt::format("not there, and {} needs it: build and install {} too", command, program));
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
