#include "imgtool/guest/guestfs_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include "imgtool/guest/trouble.hpp"

namespace imgtool::guest {
namespace {

constexpr const char* library_name = "libguestfs.so.0";

io::Error not_usable() {
  const char* why = ::dlerror();
  return trouble(fmt::format(
      "libguestfs cannot be loaded ({}): install it (Debian: apt-get install libguestfs0 supermin)",
      why != nullptr ? why : library_name));
}

template <typename Function>
void find_call(void* library, const char* name, Function& call) {
  void* found = ::dlsym(library, name);
  if (found == nullptr) throw not_usable();
  call = reinterpret_cast<Function>(found);
}

GuestfsLibrary load() {
  void* library = ::dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw not_usable();
  GuestfsLibrary calls;
#define IMGTOOL_GUESTFS_FIND(name) find_call(library, "guestfs_" #name, calls.name);
  IMGTOOL_GUESTFS_CALLS(IMGTOOL_GUESTFS_FIND)
#undef IMGTOOL_GUESTFS_FIND
  return calls;
}

}  // namespace

const GuestfsLibrary& guestfs() {
  static const GuestfsLibrary loaded = load();
  return loaded;
}

}  // namespace imgtool::guest
