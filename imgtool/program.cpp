#include "imgtool/program.hpp"

#include <algorithm>
#include <exception>

#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"

namespace imgtool {
namespace {

// Known before the options are: their errors are to be reported as JSON too.
bool asks_for_json(const Arguments& arguments) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  return std::find(arguments.begin(), end, "--json") != end;
}

}  // namespace

int run_program(int argc, char** argv, const std::function<int(const Arguments&)>& work) {
  guard_standard_streams();
  install_signal_handlers();
  const Arguments arguments(argv + std::min(argc, 1), argv + argc);
  try {
    const int code = work(arguments);
    flush_output();
    return code;
  } catch (...) {
    const Failure failure = describe_failure(std::current_exception(), stop_flag().load());
    return report_failure(failure, asks_for_json(arguments));
  }
}

}  // namespace imgtool
