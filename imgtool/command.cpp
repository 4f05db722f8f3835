#include "imgtool/command.hpp"

#include <fmt/format.h>

#include "imgtool/companion.hpp"
#include "imgtool/spelling.hpp"
#include "imgtool/usage_error.hpp"

namespace imgtool {

#define COMMAND(name, summary) int run_##name(const Arguments& arguments);
#include "imgtool/command_list.inc"
#undef COMMAND

const std::vector<Command>& commands() {
#define RUN_BY(companion, name) \
  [](const Arguments& arguments) -> int { become_companion(companion, #name, arguments); }
  static const std::vector<Command> list = {
#define COMMAND(name, summary) {#name, summary, run_##name},
#include "imgtool/command_list.inc"
#undef COMMAND
#define COMMAND(name, summary) {#name, summary, RUN_BY("guest", name)},
#include "imgtool/guest/command_list.inc"
#undef COMMAND
#define COMMAND(name, summary) {#name, summary, RUN_BY("virt", name)},
#include "imgtool/virt/command_list.inc"
#undef COMMAND
  };
#undef RUN_BY
  return list;
}

const Command& find_command(std::string_view name) {
  std::vector<std::string> known = {"help"};
  for (const Command& command : commands()) {
    if (command.name == name) {
      return command;
    }
    known.emplace_back(command.name);
  }
  throw UsageError(fmt::format("unknown command '{}'{} (imgtool help lists them)", name,
                               did_you_mean(name, known)));
}

}  // namespace imgtool
