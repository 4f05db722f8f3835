// libguestfs, loaded when the first appliance is launched: what needs none runs where there is no
// such library, and starts without the forty others that it brings.
#pragma once

#include <guestfs.h>

namespace imgtool::guest {

// guestfs().NAME is guestfs_NAME.
struct GuestfsLibrary {
  decltype(&guestfs_add_drive_opts_argv) add_drive_opts_argv = nullptr;
  decltype(&guestfs_close) close = nullptr;
  decltype(&guestfs_config) config = nullptr;
  decltype(&guestfs_create_flags) create_flags = nullptr;
  decltype(&guestfs_debug) debug = nullptr;
  decltype(&guestfs_debug_upload) debug_upload = nullptr;
  decltype(&guestfs_get_memsize) get_memsize = nullptr;
  decltype(&guestfs_get_pid) get_pid = nullptr;
  decltype(&guestfs_last_error) last_error = nullptr;
  decltype(&guestfs_launch) launch = nullptr;
  decltype(&guestfs_set_append) set_append = nullptr;
  decltype(&guestfs_set_autosync) set_autosync = nullptr;
  decltype(&guestfs_set_backend) set_backend = nullptr;
  decltype(&guestfs_set_backend_setting) set_backend_setting = nullptr;
  decltype(&guestfs_set_error_handler) set_error_handler = nullptr;
  decltype(&guestfs_set_event_callback) set_event_callback = nullptr;
  decltype(&guestfs_set_memsize) set_memsize = nullptr;
  decltype(&guestfs_set_path) set_path = nullptr;
  decltype(&guestfs_set_pgroup) set_pgroup = nullptr;
  decltype(&guestfs_set_smp) set_smp = nullptr;
  decltype(&guestfs_set_tmpdir) set_tmpdir = nullptr;
  decltype(&guestfs_shutdown) shutdown = nullptr;
};

// Throws io::Error that names what has to be installed.
[[nodiscard]] const GuestfsLibrary& guestfs();

}  // namespace imgtool::guest
