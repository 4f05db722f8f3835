// imgtool qemu-img COMMAND ARGS: qemu-img's command lines, carried out by the other commands.
#include <fmt/format.h>

#include "imgtool/cli/qemu_img.hpp"
#include "imgtool/command.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

// What stands before qemu-img's command is ours: --help, or what is wrong. Gives the exit code.
int answer_without_command(const Arguments& arguments) {
  CommandLine line("qemu-img",
                   "Takes a command line of qemu-img as it is, so that a script changes one word; "
                   "as does a link to imgtool that is named qemu-img. It follows backing files "
                   "and replaces files as qemu-img does, exits with its codes and prints its "
                   "words; images and disks in use are refused, and what has no meaning here is "
                   "an error or a note, never passed over.");
  std::string command;
  std::vector<std::string> words;
  line.argument("COMMAND", command,
                "amend, bitmap, check, commit, compare, convert, create, dd, info, map, measure, "
                "rebase, resize or snapshot");
  line.arguments("ARGS", words, "what qemu-img COMMAND takes");
  line.exit_code(exit_code::failed, "failed, refused or wrong usage, except of check and compare");
  line.example("imgtool qemu-img convert -p -c -O qcow2 golden.img golden.qcow2",
               "as in a script of today");
  line.example("imgtool qemu-img info --output=json golden.qcow2", "with the keys of qemu-img");
  return line.parse(arguments).value_or(exit_code::usage);
}

// qemu-img has one code for all that goes wrong.
int qemu_code(const QemuTranslation& translation, int code) {
  const bool ended_by_signal = code >= exit_code::after_signal(0);
  if (translation.own_exit_codes || code == exit_code::done || ended_by_signal) return code;
  return exit_code::failed;
}

int run_translated(const QemuTranslation& translation) {
  try {
    const int code = find_command(translation.command).run(translation.arguments);
    flush_output();
    return qemu_code(translation, code);
  } catch (...) {
    const Failure failure = describe_failure(std::current_exception(), stop_flag().load());
    return qemu_code(translation, report_failure(failure, false));
  }
}

}  // namespace

int run_qemu_img(const Arguments& arguments) {
  const std::string first = arguments.empty() ? "--" : arguments.front();
  if (first == "--version" || first == "-V") {
    print(fmt::format("imgtool {}, which takes the command lines of qemu-img 7.2\n",
                      IMGTOOL_VERSION));
    return exit_code::done;
  }
  if (first.starts_with('-')) return answer_without_command({first == "-h" ? "--help" : first});
  try {
    return run_translated(translate_qemu_img(arguments));
  } catch (const UsageError&) {
    (void)report_failure(describe_failure(std::current_exception(), 0), false);
    return exit_code::failed;
  }
}

}  // namespace imgtool
