// Ctrl-C and its like: the first one asks the job to stop in good order, another one a second or
// more later ends the process at once. Handlers only set atomics; jobs look at these.
//
// SIGINT, SIGTERM and SIGHUP stop, unless the caller had them ignored (nohup). SIGUSR1 asks for a
// status line. SIGPIPE is ignored: a reader that went away is an error of the write.
#pragma once

#include "io/observer.hpp"

namespace imgtool {

// Once, by main(), before any thread starts.
void install_signal_handlers();

// 0, or the signal that asked to stop. Lives as long as the process.
const io::StopFlag& stop_flag() noexcept;

// True once for each SIGUSR1, or for several that came in between.
bool take_status_request() noexcept;

}  // namespace imgtool
