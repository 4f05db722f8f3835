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

// Where `program` may be; the first is where an installed one is.
std::vector<std::string> companion_paths(const std::string& program) {
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  return {(here.parent_path() / "libexec/imgtool" / program).string(),
          (here / "libexec/imgtool" / program).string()};
}

}  // namespace

void become_companion(std::string_view companion, std::string_view command,
                      const Arguments& arguments) {
  const std::string program = fmt::format("imgtool-{}", companion);
  const std::vector<std::string> paths = companion_paths(program);
  for (const std::string& path : paths) {
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
  }
  throw io::Error::refusal(
      paths.front(),
      fmt::format("not there, and {} needs it: install the package {}", command, program));
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
