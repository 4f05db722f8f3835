// imgtool-virt: the commands that talk to libvirt. See imgtool/companion.hpp.
#include <array>

#include "imgtool/companion.hpp"

namespace imgtool {

#define VIRT_COMMAND(name, summary) int run_##name(const Arguments& arguments);
#include "imgtool/command_list.inc"

namespace {

constexpr std::array virt_commands = {
#define VIRT_COMMAND(name, summary) Command{#name, summary, run_##name},
#include "imgtool/command_list.inc"
};

}  // namespace
}  // namespace imgtool

int main(int argc, char** argv) {
  return imgtool::run_companion(argc, argv, imgtool::virt_commands);
}
