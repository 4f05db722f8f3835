// libguestfs, loaded when the first appliance is launched: what needs none runs where there is no
// such library, and starts without the forty others that it brings.
#pragma once

#include <guestfs.h>

namespace imgtool::guest {

// guestfs().NAME is guestfs_NAME.
struct GuestfsLibrary {
#define IMGTOOL_GUESTFS_CALLS(CALL)                                                            \
  CALL(add_drive_opts_argv)                                                                    \
  CALL(close)                                                                                  \
  CALL(config)                                                                                 \
  CALL(create_flags) CALL(debug) CALL(debug_upload) CALL(get_memsize) CALL(get_pid)            \
      CALL(last_error) CALL(launch) CALL(set_append) CALL(set_autosync) CALL(set_backend)      \
          CALL(set_backend_setting) CALL(set_error_handler) CALL(set_event_callback)           \
              CALL(set_memsize) CALL(set_path) CALL(set_pgroup) CALL(set_smp) CALL(set_tmpdir) \
                  CALL(shutdown)
// A name cannot be in parentheses. NOLINTNEXTLINE(bugprone-macro-parentheses)
#define IMGTOOL_GUESTFS_MEMBER(name) decltype(&guestfs_##name) name = nullptr;
  IMGTOOL_GUESTFS_CALLS(IMGTOOL_GUESTFS_MEMBER)
#undef IMGTOOL_GUESTFS_MEMBER
};

// Throws io::Error that names what has to be installed.
[[nodiscard]] const GuestfsLibrary& guestfs();

}  // namespace imgtool::guest
