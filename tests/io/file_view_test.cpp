#include "io/file_view.hpp"

#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/scratch_overlay.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

constexpr std::uint64_t disk_size = 8 * MiB, begin = 1 * MiB, view_size = 4 * MiB + 512;

// A view of a part of an overlay; a program is a thread or a process that uses its path.
class FileViewTest : public EngineTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    show(true);
  }
  void TearDown() override {
    view.reset();
    for (const std::string& one : places) (void)::umount2(one.c_str(), MNT_DETACH);
  }

  void show(bool writable) {
    place = folder.path("view" + std::to_string(places.size()));
    (void)File(place, O_WRONLY | O_CREAT);
    FileDescriptor connection = mount_file_view(place, writable, 0, 0);
    places.push_back(place);
    const ViewContent content{&overlay, writable ? &overlay : nullptr, {begin, view_size}};
    view = std::make_unique<FileView>(ring(), content, std::move(connection));
    if (writable) run([&] { learn_length(place); });
  }

  void attend() {
    pollfd asked{view->fd(), POLLIN, 0};
    if (::poll(&asked, 1, 10) > 0) (void)view->serve();
  }
  void run(const std::function<void()>& program) {
    std::atomic<bool> done = false;
    std::thread thread([&] {
      program();
      done = true;
    });
    while (!done) attend();
    thread.join();
    attend();
  }
  // The same as a process, whose status comes back; it is killed when it has made a file.
  int run_process(const std::function<void()>& program, const std::string& sign = "") {
    const pid_t process = ::fork();
    if (process == 0) {
      program();
      ::_exit(0);
    }
    int status = 0;
    while (::waitpid(process, &status, WNOHANG) == 0) {
      attend();
      if (!sign.empty() && ::access(sign.c_str(), F_OK) == 0) (void)::kill(process, SIGKILL);
    }
    return status;
  }

  std::vector<std::byte> content(ByteRange range) {
    const AlignedMemory memory(range.length);
    (void)run_task(ring(), overlay.read(range, memory.buffer()));
    return {memory.bytes().begin(),
            memory.bytes().begin() + static_cast<std::ptrdiff_t>(range.length)};
  }
  void expect_outside_is_as_it_was() {
    const auto& before = base.content();
    const auto end = static_cast<std::ptrdiff_t>(begin + view_size);
    EXPECT_EQ(content({0, begin}), std::vector<std::byte>(before.begin(), before.begin() + begin));
    EXPECT_EQ(content(range_between(begin + view_size, disk_size)),
              std::vector<std::byte>(before.begin() + end, before.end()));
  }

  TemporaryFolder folder;
  PatternSource base{ring(), disk_size};
  File file = folder.make("scratch");
  ScratchOverlay overlay{ring(), base, file, disk_size};
  std::string place;
  std::vector<std::string> places;
  std::unique_ptr<FileView> view;
};
INSTANTIATE_TEST_SUITE_P(Engines, FileViewTest, engines_here(), engine_name);

TEST_P(FileViewTest, IsAFileWithThePartsContent) {
  std::vector<std::byte> seen;
  struct stat found {};
  run([&] {
    ASSERT_EQ(::stat(place.c_str(), &found), 0);
    seen = content_of(place);
  });
  EXPECT_EQ(seen, pattern({begin, view_size}));
  EXPECT_TRUE(S_ISREG(found.st_mode));
  EXPECT_EQ(static_cast<std::uint64_t>(found.st_size), view_size);
}

TEST_P(FileViewTest, TakesSmallAndLargeWrites) {
  const auto small = pattern({0, 1}, 5), large = pattern({0, MiB}, 6);
  run([&] {
    const File program(place, O_RDWR);
    program.write_at(12'345, small);
    program.write_at(2 * MiB, large);
    program.write_at(view_size - 1, small);
  });
  EXPECT_EQ(content({begin + 12'345, 1}), small);
  EXPECT_EQ(content({begin + 2 * MiB, MiB}), large);
  EXPECT_EQ(content({begin + view_size - 1, 1}), small);
  EXPECT_EQ(content({begin, 12'345}), pattern({begin, 12'345}));
  expect_outside_is_as_it_was();
  EXPECT_FALSE(view->failure());
}

TEST_P(FileViewTest, CannotBeCut) {
  struct stat found {};
  run([&] {
    const File program(place, O_RDWR);
    EXPECT_EQ(::ftruncate(program.fd(), 4096), 0);
    ASSERT_EQ(::fstat(program.fd(), &found), 0);
  });
  EXPECT_EQ(static_cast<std::uint64_t>(found.st_size), view_size);
  EXPECT_EQ(content({begin, view_size}), pattern({begin, view_size}));
}

TEST_P(FileViewTest, PunchedAndZeroedRangesReadAsZeros) {
  run([&] {
    const File program(place, O_RDWR);
    EXPECT_EQ(::fallocate(program.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4000, 100), 0);
    EXPECT_EQ(::fallocate(program.fd(), FALLOC_FL_ZERO_RANGE, 2 * MiB, MiB), 0);
    EXPECT_EQ(::fallocate(program.fd(), 0, 0, 4096), 0);
    EXPECT_NE(::fallocate(program.fd(), FALLOC_FL_COLLAPSE_RANGE, 0, 4096), 0);
  });
  EXPECT_EQ(content({begin + 4000, 100}), std::vector<std::byte>(100));
  EXPECT_EQ(content({begin + 2 * MiB, MiB}), std::vector<std::byte>(MiB));
  EXPECT_EQ(content({begin, 4000}), pattern({begin, 4000}));
}

TEST_P(FileViewTest, HasNothingBehindItsEnd) {
  run([&] {
    const File program(place, O_RDWR);
    const char byte = 0;
    [[maybe_unused]] const auto count =
        ::pwrite(program.fd(), &byte, 1, static_cast<off_t>(view_size) + 5);
  });
  ASSERT_TRUE(view->failure());
  EXPECT_EQ(view->failure()->error_number(), EFBIG);
  expect_outside_is_as_it_was();
}

TEST_P(FileViewTest, CannotBeWrittenToWhereItIsReadOnly) {
  show(false);
  int error = 0;
  run([&] {
    const FileDescriptor program(::open(place.c_str(), O_RDWR));
    error = program ? 0 : errno;
    EXPECT_EQ(content_of(place), pattern({begin, view_size}));
  });
  EXPECT_EQ(error, EROFS);
}

TEST_P(FileViewTest, SaysWhatTheSourceCouldNotGive) {
  base.fail_at({begin + MiB, 1});
  run([&] {
    const File program(place, O_RDONLY);
    std::vector<std::byte> bytes(4096);
    EXPECT_THROW((void)program.read_at(MiB, bytes), Error);
  });
  ASSERT_TRUE(view->failure());
  EXPECT_EQ(view->failure()->error_number(), EIO);
}

TEST_P(FileViewTest, WritesOfAProgramThatIsKilledLieInside) {
  const std::string sign = folder.path("sign");
  const auto bytes = pattern({0, MiB}, 9);
  const int status = run_process(
      [&] {
        const File program(place, O_RDWR);
        program.write_at(MiB, bytes);
        (void)File(sign, O_WRONLY | O_CREAT);
        ::pause();
      },
      sign);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(content({begin + MiB, MiB}), bytes);
  expect_outside_is_as_it_was();
  run([&] { EXPECT_EQ(content_of(place).size(), view_size); });  // it is served on
}

TEST_P(FileViewTest, ProgramsGetAnErrorWhenTheServerIsGone) {
  const pid_t process = ::fork();
  if (process == 0) {
    (void)::close(view->fd());
    // Waits for an answer that never comes.
    ::_exit(::open(place.c_str(), O_RDONLY) >= 0 ? 0 : errno);
  }
  view.reset();
  int status = 0;
  ASSERT_EQ(::waitpid(process, &status, 0), process);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_TRUE(WEXITSTATUS(status) == ENOTCONN || WEXITSTATUS(status) == ECONNABORTED)
      << WEXITSTATUS(status);
}

}  // namespace
}  // namespace io
