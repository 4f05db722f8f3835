// imgtool-guest COMMAND [OPTIONS] ARGS: the commands that need libguestfs.
#include <array>

#include "imgtool/companion.hpp"

namespace imgtool {

#define COMMAND(name, summary) int run_##name(const Arguments& arguments);
#include "imgtool/guest/command_list.inc"
#undef COMMAND

namespace {

constexpr auto guest_commands = std::to_array<Command>({
#define COMMAND(name, summary) {#name, summary, run_##name},
#include "imgtool/guest/command_list.inc"
#undef COMMAND
});

}  // namespace
}  // namespace imgtool

int main(int argc, char** argv) {
  return imgtool::run_companion(argc, argv, imgtool::guest_commands);
}
