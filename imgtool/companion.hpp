// Commands that need libguestfs or libvirt live in executables of their own, the companions, so
// that imgtool itself runs where neither is installed. imgtool finds them beside itself and becomes
// them, as git does: imgtool-guest and imgtool-virt in ../libexec/imgtool, seen from the folder bin
// it is installed in, or in libexec/imgtool below a build folder.
#pragma once

#include <span>
#include <string_view>

#include "imgtool/command.hpp"

namespace imgtool {

// Becomes imgtool-`companion` with `command` and its arguments; returns only by throwing:
// io::Error, ErrorKind::refused, which says what to install when it is not there.
[[noreturn]] void become_companion(std::string_view companion, std::string_view command,
                                   const Arguments& arguments);

// Where imgtool-`companion` is, or would be. Throws ErrorKind::refused where another user could
// have put it there.
[[nodiscard]] std::string companion_path(std::string_view companion);

// What a companion's main() returns: runs the one of `commands` that the first argument names.
int run_companion(int argc, char** argv, std::span<const Command> commands);

}  // namespace imgtool
