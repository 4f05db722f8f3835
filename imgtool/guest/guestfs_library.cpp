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
  find_call(library, "guestfs_add_drive_opts_argv", calls.add_drive_opts_argv);
  find_call(library, "guestfs_close", calls.close);
  find_call(library, "guestfs_config", calls.config);
  find_call(library, "guestfs_create_flags", calls.create_flags);
  find_call(library, "guestfs_debug", calls.debug);
  find_call(library, "guestfs_debug_upload", calls.debug_upload);
  find_call(library, "guestfs_get_memsize", calls.get_memsize);
  find_call(library, "guestfs_get_pid", calls.get_pid);
  find_call(library, "guestfs_last_error", calls.last_error);
  find_call(library, "guestfs_launch", calls.launch);
  find_call(library, "guestfs_set_append", calls.set_append);
  find_call(library, "guestfs_set_autosync", calls.set_autosync);
  find_call(library, "guestfs_set_backend", calls.set_backend);
  find_call(library, "guestfs_set_backend_setting", calls.set_backend_setting);
  find_call(library, "guestfs_set_error_handler", calls.set_error_handler);
  find_call(library, "guestfs_set_event_callback", calls.set_event_callback);
  find_call(library, "guestfs_set_memsize", calls.set_memsize);
  find_call(library, "guestfs_set_path", calls.set_path);
  find_call(library, "guestfs_set_pgroup", calls.set_pgroup);
  find_call(library, "guestfs_set_smp", calls.set_smp);
  find_call(library, "guestfs_set_tmpdir", calls.set_tmpdir);
  find_call(library, "guestfs_shutdown", calls.shutdown);
  return calls;
}

}  // namespace

const GuestfsLibrary& guestfs() {
  static const GuestfsLibrary loaded = load();
  return loaded;
}

}  // namespace imgtool::guest
