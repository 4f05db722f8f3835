#include "imgtool/terminal/text_output.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace imgtool {
namespace {

class FdOutputTest : public ::testing::Test {
 protected:
  void SetUp() override { old_handler_ = ::signal(SIGPIPE, SIG_IGN); }
  void TearDown() override {
    ::signal(SIGPIPE, old_handler_);
    for (const int fd : fds_) {
      ::close(fd);
    }
  }
  int keep(int fd) {
    EXPECT_GE(fd, 0);
    fds_.push_back(fd);
    return fd;
  }

 private:
  void (*old_handler_)(int) = SIG_DFL;
  std::vector<int> fds_;
};

TEST_F(FdOutputTest, NeverWaitsForAReader) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  keep(ends[0]);
  FdOutput output(keep(ends[1]));
  const std::string much(1 << 20, 'x');
  const auto taken = output.write_some(much);
  ASSERT_TRUE(taken);
  EXPECT_LT(*taken, much.size());
  EXPECT_EQ(output.write_some(much), 0U);
  output.wait(1);
}

TEST_F(FdOutputTest, KnowsThatItsReaderHasGone) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  EXPECT_EQ(FdOutput(keep(ends[1])).write_some("x"), std::nullopt);
  EXPECT_EQ(FdOutput(keep(::open("/dev/full", O_WRONLY))).write_some("x"), std::nullopt);
}

TEST_F(FdOutputTest, KnowsTheTerminalsSizeAndItsEnd) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_EQ(::grantpt(master), 0);
  ASSERT_EQ(::unlockpt(master), 0);
  const int slave = keep(::open(::ptsname(master), O_RDWR | O_NOCTTY));
  FdOutput output(slave);

  ::setenv("TERM", "xterm", 1);
  EXPECT_EQ(output.screen()->columns, 80U);  // it has not been told
  const winsize size = {.ws_row = 50, .ws_col = 132, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(::ioctl(master, TIOCSWINSZ, &size), 0);
  EXPECT_EQ(output.screen()->columns, 132U);
  EXPECT_EQ(output.screen()->rows, 50U);
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(output.screen());
  EXPECT_TRUE(output.in_foreground());

  EXPECT_EQ(output.write_some("x"), 1U);
  ::close(master);
  EXPECT_EQ(output.write_some("x"), std::nullopt);
}

}  // namespace
}  // namespace imgtool
