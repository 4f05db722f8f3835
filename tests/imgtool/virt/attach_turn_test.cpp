#include "imgtool/virt/attach_turn.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/io/temporary_folder.hpp"

namespace imgtool::virt {
namespace {

using testing::HasSubstr;

constexpr const char* group = "daemon";  // every system has it

// Runs `step` as a user without rights, of the group or not; its answer is the exit code.
int as_other_user(bool of_group, int (*step)(const std::string&), const std::string& lock) {
  constexpr uid_t nobody = 65534;
  const gid_t gid = of_group ? getgrnam(group)->gr_gid : nobody;
  const pid_t child = fork();
  if (child == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(gid) != 0 || setuid(nobody) != 0) _exit(99);
    _exit(step(lock));
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

int is_taken(const std::string& lock) {
  const int fd = open(lock.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return 2;
  return flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK ? 1 : 0;
}

int takes_turn(const std::string& lock) { return AttachTurn(lock, group).note().empty() ? 1 : 0; }

// What to do about it stands in the note of one who may not make the lock.
int is_told_the_way(const std::string& lock) {
  const AttachTurn turn(lock, group);
  return turn.note().find("systemd-tmpfiles --create imgtool.conf") != std::string::npos ? 1 : 0;
}

TEST(AttachTurn, IsSharedWithTheGroupAndWithNoOtherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const io::TemporaryFolder folder;
  ASSERT_EQ(chmod(folder.path("").c_str(), 0755), 0);
  const std::string lock = folder.path("lock");
  {
    const AttachTurn turn(lock, group);
    EXPECT_EQ(turn.note(), "");
    EXPECT_EQ(as_other_user(true, is_taken, lock), 1);
    EXPECT_EQ(as_other_user(false, is_taken, lock), 2);
  }
  EXPECT_EQ(as_other_user(true, takes_turn, lock), 1);
  EXPECT_EQ(as_other_user(false, takes_turn, lock), 0);
  EXPECT_EQ(as_other_user(false, is_told_the_way, lock), 1);
  EXPECT_EQ(as_other_user(true, is_told_the_way, folder.path("none")), 1);
}

TEST(AttachTurn, SharesALockThatAnEarlierVersionMade) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const io::TemporaryFolder folder;
  ASSERT_EQ(chmod(folder.path("").c_str(), 0755), 0);
  const std::string lock = folder.path("lock");
  close(open(lock.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_EQ(as_other_user(true, takes_turn, lock), 0);
  (void)AttachTurn(lock, group);
  EXPECT_EQ(as_other_user(true, takes_turn, lock), 1);
}

TEST(AttachTurn, SaysThatItCannotBeTaken) {
  const io::TemporaryFolder folder;
  const AttachTurn turn(folder.path("none/lock"), group);
  EXPECT_THAT(turn.note(), HasSubstr("would not be noticed"));
}

}  // namespace
}  // namespace imgtool::virt
