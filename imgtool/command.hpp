// The commands: each lives in commands/NAME.cpp as `int run_NAME(const Arguments&)` and has one
// line in command_list.inc. Those of the companions (companion.hpp) lie in guest/ and virt/.
//
// A command declares its CommandLine, does its work, prints its result and returns an exit code.
// What goes wrong it throws (UsageError, io::Error); main() reports it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "imgtool/cli/options.hpp"

namespace imgtool {

struct Command {
  std::string_view name;
  std::string_view summary;  // for `imgtool help`: one line, no full stop
  int (*run)(const Arguments& arguments);
};

// In the order in which `imgtool help` lists them.
const std::vector<Command>& commands();

// Throws UsageError, with the nearest name, when there is no such command.
const Command& find_command(std::string_view name);

}  // namespace imgtool
