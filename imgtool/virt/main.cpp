// imgtool-virt: the commands that talk to libvirt. See imgtool/companion.hpp.
#include <array>

#include "imgtool/companion.hpp"

namespace imgtool {

#define COMMAND(name, summary) int run_##name(const Arguments& arguments);
#include "imgtool/virt/command_list.inc"
#undef COMMAND

namespace {

constexpr std::array virt_commands = {
#define COMMAND(name, summary) Command{#name, summary, run_##name},
#include "imgtool/virt/command_list.inc"
#undef COMMAND
};

}  // namespace
}  // namespace imgtool

int main(int argc, char** argv) {
  return imgtool::run_companion(argc, argv, imgtool::virt_commands);
}
