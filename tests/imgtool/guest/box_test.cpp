#include "imgtool/guest/box.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "imgtool/guest/direct_shell.hpp"
#include "io/scratch_overlay.hpp"
#include "io/task_group.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/temporary_folder.hpp"

namespace imgtool::guest {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t disk_size = 4 * io::MiB;

BoxOptions with_stand_in() {
  BoxOptions options;
  const std::string folder = fs::path(HOSTILE_TOOL).parent_path();
  options.folders.push_back(folder);
  options.path += ":" + folder;
  return options;
}

// A deed that is told from those of the other tests, which run at the same time.
std::string marked(const std::string& deed) { return fmt::format("{} {}", deed, ::getpid()); }

// Whether a process that was told this runs anywhere on the machine.
bool runs(const std::string& words) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    std::string line;
    std::getline(file, line);  // empty where the process has ended meanwhile
    std::replace(line.begin(), line.end(), '\0', ' ');
    if (line.find("hostile_tool " + words) != std::string::npos) return true;
  }
  return false;
}

class BoxTest : public testing::Test {
 protected:
  CommandResult run(const std::string& deed) { return run(deed, with_stand_in()); }
  CommandResult run(const std::string& deed, BoxOptions options) {
    Box box(*ring, stop, std::move(options));
    const std::vector<BoxFile> files = {
        {"1", {&overlay, &overlay, {io::MiB, io::MiB}}},
        {"2", {&overlay, nullptr, {0, io::MiB}}},
    };
    return box.run("hostile_tool " + deed, files);
  }
  std::string said(const std::string& deed) {
    const CommandResult result = run(deed);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }

  std::unique_ptr<io::Ring> ring = io::make_ring({}).ring;
  io::StopFlag stop{0};
  io::PatternSource base{*ring, disk_size};
  io::TemporaryFolder folder;
  io::File file = folder.make("scratch");
  io::ScratchOverlay overlay{*ring, base, file, disk_size};
};

TEST_F(BoxTest, CanBeHadHere) {
  Box box(*ring, stop);
  EXPECT_EQ(box.why_not(), "");
}

TEST_F(BoxTest, RunsALineOfShAndKeepsItsWordsApart) {
  Box box(*ring, stop);
  const CommandResult result = box.run("echo out; echo err >&2; exit 3", {});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(box.run("echo y | grep -c y; timeout 5 true", {}).out, "1\n");
  EXPECT_EQ(box.run("no_such_program", {}).code, 127);
}

TEST_F(BoxTest, HoldsProgramsAndItsFilesAlone) {
  const std::string outside = folder.path("secret");
  std::ofstream(outside) << "secret";
  EXPECT_EQ(said("look /etc/passwd /etc/shadow /root /home /proc/self/environ /proc/1/root "
                 "/dev/mem /dev/fuse /sys /var /tmp /run " +
                 outside),
            "");
  EXPECT_EQ(said("look /bin/sh /view/1 /view/2 /view/3"),
            "read /bin/sh\nread /view/1\nread /view/2\n");
  EXPECT_EQ(said("make / /usr/bin /tmp /view /dev /etc /proc " + folder.path("")), "");
  EXPECT_FALSE(fs::exists("/usr/bin/made"));
}

// Each is a user of its own, or they would share the limit of processes.
TEST_F(BoxTest, HasNoRightsAndNoWayToGetAny) {
  const std::string first = said("root");
  EXPECT_EQ(first.find("user 18"), 0U) << first;
  EXPECT_TRUE(first.ends_with(", incapable\n")) << first;
  EXPECT_NE(said("root"), first);
}

TEST_F(BoxTest, OneThatForksDoesNotStarveAnother) {
  std::vector<std::jthread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([] {
      const io::MadeRing made = io::make_ring({});
      const io::StopFlag go_on{0};
      Box box(*made.ring, go_on, with_stand_in());
      (void)box.run("hostile_tool multiply", {});
    });
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(run("root").code, 0);
}

TEST_F(BoxTest, HasNoNetwork) { EXPECT_EQ(said("connect"), "no network\n"); }

TEST_F(BoxTest, BoundsProcessesAndEndsThemAll) {
  const int children = std::stoi(said(marked("multiply")));
  EXPECT_LT(children, 64);
  EXPECT_FALSE(runs(marked("multiply")));
}

TEST_F(BoxTest, BoundsMemory) {
  BoxOptions options = with_stand_in();
  options.memory = 256 * io::MiB;
  const CommandResult result = run("eat", options);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_LT(std::stoi(result.out), 256);
}

TEST_F(BoxTest, BoundsWhatIsKeptOfItsWords) {
  const CommandResult result = run("talk");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out.size(), io::MiB);
}

TEST_F(BoxTest, EndsWhatHangs) {
  BoxOptions options = with_stand_in();
  options.time_limit = std::chrono::seconds(1);
  EXPECT_THROW(run(marked("hang"), options), io::Error);
  EXPECT_FALSE(runs(marked("hang")));
}

TEST_F(BoxTest, EndsWhenItIsToStop) {
  std::jthread later([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop = SIGINT;
  });
  try {
    run(marked("hang"));
    ADD_FAILURE() << "it went on";
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::cancelled);
  }
  EXPECT_FALSE(runs(marked("hang")));
}

TEST_F(BoxTest, EndsWithTheProcessThatMadeIt) {
  const pid_t process = ::fork();
  if (process == 0) {
    // Engines of the ring that are forked are good for nothing; this one asks none.
    Box box(*ring, stop, with_stand_in());
    (void)box.run("hostile_tool hang orphan", {});
    ::_exit(0);
  }
  const auto wait_until = [](bool there) {
    for (int i = 0; i < 1000 && runs("hang orphan") != there; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return runs("hang orphan") == there;
  };
  EXPECT_TRUE(wait_until(true));
  (void)::kill(process, SIGKILL);
  int status = 0;
  (void)::waitpid(process, &status, 0);
  EXPECT_TRUE(wait_until(false));
}

TEST_F(BoxTest, ACrashIsToldByItsSignal) {
  EXPECT_EQ(run("crash").code, signal_codes + SIGABRT);
  Box box(*ring, stop, with_stand_in());
  DirectShell shell(box);
  EXPECT_THROW(shell.run("hostile_tool crash"), ProgramDied);
  EXPECT_THROW(shell.run("echo y | hostile_tool crash"), ProgramDied);
}

TEST_F(BoxTest, AWriteBehindTheEndIsAnErrorAndChangesNothing) {
  EXPECT_THROW(run("past /view/1"), io::Error);
  const io::AlignedMemory memory(disk_size);
  (void)io::run_task(*ring, overlay.read({0, disk_size}, memory.buffer()));
  EXPECT_TRUE(std::equal(base.content().begin(), base.content().end(), memory.bytes().begin()));
}

TEST_F(BoxTest, WritesComeToTheTargetOfTheirFileAlone) {
  Box box(*ring, stop);
  DirectShell shell(box);
  shell.show("/view/1", {&overlay, &overlay, {io::MiB, io::MiB}});
  shell.show("/view/12", {&overlay, nullptr, {2 * io::MiB, io::MiB}});
  EXPECT_EQ(
      shell.run("ls /view; printf hello | dd of=/view/1 bs=1 seek=4097 conv=notrunc 2>/dev/null")
          .out,
      "1\n");
  EXPECT_NE(shell.run("printf hello >/view/12").code, 0);
  EXPECT_EQ(shell.run("dd if=/view/1 bs=1 skip=4097 count=5 2>/dev/null").out, "hello");
  const io::AlignedMemory memory(disk_size);
  (void)io::run_task(*ring, overlay.read({0, disk_size}, memory.buffer()));
  auto expected = base.content();
  const std::string_view word = "hello";
  std::transform(word.begin(), word.end(), expected.begin() + io::MiB + 4097,
                 [](char letter) { return static_cast<std::byte>(letter); });
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), memory.bytes().begin()));
}

}  // namespace
}  // namespace imgtool::guest
