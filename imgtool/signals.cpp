#include "imgtool/signals.hpp"

#include <signal.h>
#include <unistd.h>

#include "imgtool/exit_code.hpp"

namespace imgtool {
namespace {

io::StopFlag requested_stop{0};
std::atomic<bool> status_requested{false};
static_assert(io::StopFlag::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "handlers may touch lock-free atomics only");

extern "C" void on_stop_signal(int signal) {
  if (requested_stop.exchange(signal) != 0) {
    ::_exit(exit_code::after_signal(signal));
  }
}

extern "C" void on_status_signal(int) { status_requested.store(true); }

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

bool is_ignored(int signal) {
  struct sigaction action = {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void install_signal_handlers() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (!is_ignored(signal)) {
      handle(signal, on_stop_signal, 0);  // no SA_RESTART: whoever waits shall look at the flag
    }
  }
  handle(SIGUSR1, on_status_signal, SA_RESTART);
  handle(SIGPIPE, SIG_IGN, 0);
}

const io::StopFlag& stop_flag() noexcept { return requested_stop; }

bool take_status_request() noexcept { return status_requested.exchange(false); }

}  // namespace imgtool
