// What a main() of imgtool and of its companions does around the work: standard streams, signals,
// and one line and an exit code for what went wrong.
#pragma once

#include <functional>

#include "imgtool/cli/options.hpp"

namespace imgtool {

// Runs `work` with the arguments after argv[0]; returns the process's exit code. What it throws is
// reported, also as JSON when the arguments ask for that.
int run_program(int argc, char** argv, const std::function<int(const Arguments&)>& work);

}  // namespace imgtool
