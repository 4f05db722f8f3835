#include "imgtool/terminal/signals.hpp"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "imgtool/terminal/exit_code.hpp"

namespace imgtool {
namespace {

io::StopFlag requested_stop{0};
std::atomic<bool> status_requested{false};
static_assert(io::StopFlag::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "handlers may touch lock-free atomics only");

// `timeout`, some shells and some terminals send one Ctrl-C twice, to the process and its group.
constexpr std::int64_t same_press_ms = 1000;
std::atomic<std::int64_t> first_stop_ms{0};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

std::int64_t now_ms() {
  struct timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

extern "C" void on_stop_signal(int signal) {
  if (requested_stop.load() == 0) {
    first_stop_ms.store(now_ms());
    requested_stop.store(signal);
  } else if (now_ms() - first_stop_ms.load() >= same_press_ms) {
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
      handle(signal, on_stop_signal,
             0);  // no SA_RESTART: a wait ends, and its caller looks at the flag
    }
  }
  handle(SIGUSR1, on_status_signal, SA_RESTART);
  handle(SIGPIPE, SIG_IGN, 0);
}

const io::StopFlag& stop_flag() noexcept { return requested_stop; }

bool take_status_request() noexcept { return status_requested.exchange(false); }

}  // namespace imgtool
