#include "imgtool/terminal/signals.hpp"

#include <gtest/gtest.h>

#include <signal.h>
#include <unistd.h>
#include <chrono>
#include <thread>

namespace imgtool {
namespace {

using ::testing::ExitedWithCode;

// Signals are the whole process's affair, so each test has a process of its own.

TEST(SignalsDeathTest, FirstStopSignalIsRememberedAndALaterOneEndsTheProcess) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    EXPECT_EXIT(
        {
          install_signal_handlers();
          ::raise(signal);
          if (stop_flag().load() != signal) ::_exit(1);
          std::this_thread::sleep_for(std::chrono::milliseconds(1100));
          ::raise(SIGTERM);
        },
        ExitedWithCode(128 + SIGTERM), "");
  }
}

TEST(SignalsDeathTest, OneThatComesTwiceAtOnceIsOne) {
  EXPECT_EXIT(
      {
        install_signal_handlers();
        ::raise(SIGINT);
        ::raise(SIGINT);
        ::_exit(stop_flag().load() == SIGINT ? 42 : 1);
      },
      ExitedWithCode(42), "");
}

TEST(SignalsDeathTest, IgnoredStopSignalsStayIgnored) {
  EXPECT_EXIT(
      {
        ::signal(SIGHUP, SIG_IGN);  // as nohup does
        install_signal_handlers();
        ::raise(SIGHUP);
        ::_exit(stop_flag().load() == 0 ? 42 : 1);
      },
      ExitedWithCode(42), "");
}

TEST(SignalsDeathTest, StatusRequestsAreTakenOnce) {
  EXPECT_EXIT(
      {
        install_signal_handlers();
        if (take_status_request()) ::_exit(1);
        ::raise(SIGUSR1);
        if (!take_status_request()) ::_exit(2);
        ::_exit(take_status_request() ? 3 : 42);
      },
      ExitedWithCode(42), "");
}

TEST(SignalsDeathTest, AClosedPipeIsAnErrorOfTheWrite) {
  EXPECT_EXIT(
      {
        install_signal_handlers();
        int ends[2];
        if (::pipe(ends) != 0) ::_exit(1);
        ::close(ends[0]);
        ::_exit(::write(ends[1], "x", 1) == -1 ? 42 : 2);
      },
      ExitedWithCode(42), "");
}

}  // namespace
}  // namespace imgtool
