// imgtool [--version] [-v] COMMAND [OPTIONS] ARGS
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "imgtool/cli/help_text.hpp"
#include "imgtool/command.hpp"
#include "imgtool/program.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

std::string overview() {
  HelpText text;
  text.line("Usage: imgtool [--version] [-v] COMMAND [OPTIONS] ARGUMENTS");
  text.paragraph("Burns, captures, verifies and converts disk images.");
  text.heading("Commands");
  for (const Command& command : commands()) {
    text.row(command.name, command.summary);
  }
  text.row("help [COMMAND]", "print this, or everything about one command");
  return text.take();
}

int help(const Arguments& arguments) {
  if (arguments.size() > 1) {
    throw UsageError(fmt::format("help: unexpected argument '{}'", arguments[1]));
  }
  if (arguments.empty() || arguments[0] == "help") {
    print(overview());
    return exit_code::done;
  }
  return find_command(arguments[0]).run({"--help"});
}

int dispatch(Arguments arguments) {
  Arguments leading;
  while (!arguments.empty() && arguments.front().starts_with('-')) {
    const std::string option = arguments.front();
    arguments.erase(arguments.begin());
    if (option == "--version") {
      print(fmt::format("imgtool {}\n", IMGTOOL_VERSION));
      return exit_code::done;
    }
    if (option == "--help") {
      return help({});
    }
    if (option != "-v" && option != "--verbose") {
      throw UsageError(fmt::format("unknown option '{}' before the command", option));
    }
    leading.push_back(option);
  }
  if (arguments.empty()) {
    throw UsageError("no command given (imgtool help lists them)");
  }
  const std::string name = arguments.front();
  arguments.erase(arguments.begin());
  if (name == "help") {
    return help(arguments);
  }
  arguments.insert(arguments.begin(), leading.begin(), leading.end());
  return find_command(name).run(arguments);
}

}  // namespace
}  // namespace imgtool

int main(int argc, char** argv) {
  const std::string_view name = argc > 0 ? argv[0] : "";
  const bool as_qemu_img = name.substr(name.rfind('/') + 1) == "qemu-img";
  return imgtool::run_program(argc, argv, [as_qemu_img](imgtool::Arguments arguments) {
    if (as_qemu_img) arguments.insert(arguments.begin(), "qemu-img");
    return imgtool::dispatch(std::move(arguments));
  });
}
