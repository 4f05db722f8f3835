#include "imgtool/cli/confirm.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "io/error.hpp"

namespace imgtool {
namespace {

using ::testing::HasSubstr;

// Both ends of a pseudo terminal.
struct Terminal {
  int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  int slave = -1;

  Terminal() {
    EXPECT_EQ(::grantpt(master), 0);
    EXPECT_EQ(::unlockpt(master), 0);
    slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
    EXPECT_GE(slave, 0);
  }
  ~Terminal() {
    ::close(master);
    ::close(slave);
  }

  // Reads what is shown until `text` has appeared.
  std::string read_until(const std::string& text) const {
    std::string shown;
    char byte = 0;
    while (shown.find(text) == std::string::npos && ::read(master, &byte, 1) == 1) {
      shown += byte;
    }
    return shown;
  }
  void type(std::string_view text) const {
    EXPECT_EQ(::write(master, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
};

// What confirm() says when `answer` is typed once the question is there; empty: it agreed.
std::string outcome(const Terminal& terminal, const std::string& answer,
                    std::string* shown = nullptr) {
  std::string message;
  std::thread asking([&] {
    try {
      confirm("This disk will be overwritten:", {"/dev/sdb  ACME \x1b[2J  S/N 42  931 GiB"},
              {.input = terminal.slave, .output = terminal.slave});
    } catch (const io::Error& error) {
      EXPECT_EQ(error.kind(), io::ErrorKind::refused);
      message = error.what();
    }
  });
  const std::string question = terminal.read_until("go on: ");
  terminal.type(answer);
  asking.join();
  if (shown != nullptr) {
    *shown = question;
  }
  return message;
}

TEST(Confirm, GoesOnAfterTheWordYes) {
  const Terminal terminal;
  std::string shown;
  EXPECT_EQ(outcome(terminal, "yes\n", &shown), "");
  EXPECT_EQ(shown,
            "This disk will be overwritten:\r\n  /dev/sdb  ACME \\x1b[2J  S/N 42  931 GiB\r\n"
            "Type yes to go on: ");
}

TEST(Confirm, RefusesAnyOtherAnswer) {
  for (const char* answer : {"y\n", "no\n", "\n", "YES\n", "yes please\n", "\x04"}) {
    const Terminal terminal;
    EXPECT_THAT(outcome(terminal, answer), HasSubstr("not confirmed")) << answer;
  }
}

TEST(Confirm, IgnoresWhatWasTypedBeforeTheQuestion) {
  const Terminal terminal;
  terminal.type("yes\n");
  terminal.read_until("yes\r\n");  // the echo: the line is waiting in the terminal
  EXPECT_THAT(outcome(terminal, "no\n"), HasSubstr("not confirmed"));
}

TEST(Confirm, NeedsYesWithoutATerminal) {
  const int null = ::open("/dev/null", O_RDWR);
  const ConfirmOptions options{.input = null, .output = null};
  try {
    confirm("This disk will be overwritten:", {}, options);
    FAIL() << "not refused";
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::refused);
    EXPECT_THAT(error.what(), HasSubstr("--yes"));
  }
  confirm("This disk will be overwritten:", {}, {.yes = true, .input = null, .output = null});
  ::close(null);
}

}  // namespace
}  // namespace imgtool
