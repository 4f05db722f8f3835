#include "imgtool/command.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "imgtool/cli/spelling.hpp"
#include "imgtool/companion.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {

#define COMMAND(name, summary) int run_##name(const Arguments& arguments);
#define SPELLED_COMMAND(name, spelling, summary) COMMAND(name, summary)
#include "imgtool/command_list.inc"

const std::vector<Command>& commands() {
#define RUN_BY(companion, name) \
  [](const Arguments& arguments) -> int { become_companion(companion, #name, arguments); }
  static const std::vector<Command> list = {
#define COMMAND(name, summary) {#name, summary, run_##name},
#define SPELLED_COMMAND(name, spelling, summary) {spelling, summary, run_##name},
#define GUEST_COMMAND(name, summary) {#name, summary, RUN_BY("guest", name)},
#define VIRT_COMMAND(name, summary) {#name, summary, RUN_BY("virt", name)},
#include "imgtool/command_list.inc"
  };
#undef RUN_BY
  return list;
}

// What comes to mind first for users of dd, Etcher and others.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> words_of_other_tools = {
    {{"write", "burn"},
     {"flash", "burn"},
     {"dd", "burn"},
     {"restore", "burn"},
     {"backup", "capture"},
     {"read", "capture"},
     {"copy", "convert"},
     {"list", "devices"},
     {"version", "--version"}}};

const Command& find_command(std::string_view name) {
  std::vector<std::string> known = {"help"};
  for (const Command& command : commands()) {
    if (command.name == name) {
      return command;
    }
    known.emplace_back(command.name);
  }
  for (const auto& [word, command] : words_of_other_tools) {
    if (word != name) continue;
    throw UsageError(fmt::format("unknown command '{}'; that is imgtool {} here", name, command));
  }
  throw UsageError(fmt::format("unknown command '{}'{} (imgtool help lists them)", name,
                               did_you_mean(name, known)));
}

}  // namespace imgtool
