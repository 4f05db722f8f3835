// imgtool-guest COMMAND [OPTIONS] ARGS: the commands that need libguestfs.
#include <array>

#include "imgtool/companion.hpp"

namespace imgtool {

#define GUEST_COMMAND(name, summary) int run_##name(const Arguments& arguments);
#include "imgtool/command_list.inc"

namespace {

constexpr auto guest_commands = std::to_array<Command>({
#define GUEST_COMMAND(name, summary) {#name, summary, run_##name},
#include "imgtool/command_list.inc"
});

}  // namespace
}  // namespace imgtool

int main(int argc, char** argv) {
  return imgtool::run_companion(argc, argv, imgtool::guest_commands);
}
