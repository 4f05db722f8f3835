// The processes that libguestfs starts for this one: supermin, which puts the appliance together,
// and QEMU. Nothing else in this program starts any.
#pragma once

#include <string_view>

namespace imgtool::guest {

// SIGKILL for all of them.
void kill_children() noexcept;

// Whether one of them is a program of this name.
[[nodiscard]] bool child_runs(std::string_view program) noexcept;

}  // namespace imgtool::guest
