#include "imgtool/terminal/progress.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "io/byte_range.hpp"
#include "tests/imgtool/terminal/fake_terminal.hpp"

namespace imgtool {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using io::MiB;
constexpr auto write = io::Phase::write;
constexpr auto verify = io::Phase::verify;

// A job whose clock stands still unless told to go on.
struct Job {
  FakeTerminal terminal;
  double now = 1000;
  bool status_requested = false;
  bool stop_requested = false;
  std::string messages;
  std::unique_ptr<Progress> progress;

  explicit Job(ProgressMode mode, std::size_t columns = 80,
               std::vector<std::string> targets = {"/dev/sdb"})
      : terminal(columns, 24) {
    terminal.is_terminal = mode == ProgressMode::bar;
    progress = std::make_unique<Progress>(
        std::move(targets), mode,
        Progress::Surroundings{
            .display = terminal,
            .now_s = [this] { return now; },
            .status_requested = [this] { return std::exchange(status_requested, false); },
            .print_message =
                [this](std::string_view text) {
                  messages += std::string(text) + '\n';
                  if (terminal.is_terminal) {
                    terminal.print(text);
                  }
                },
            .stop_requested = [this] { return stop_requested; }});
  }

  // `seconds` pass in ticks of 100 ms, each target completing `rate` bytes a second.
  void run(double seconds, std::uint64_t rate, io::Phase phase = write, std::size_t targets = 1) {
    for (int i = 0; i < static_cast<int>(seconds * 10 + 0.5); ++i) {
      now += 0.1;
      for (std::size_t target = 0; target < targets; ++target) {
        progress->completed(phase, target, rate / 10);
      }
      progress->tick();
    }
  }

  std::vector<nlohmann::json> json_lines() const {
    std::vector<nlohmann::json> lines;
    std::istringstream in(terminal.raw);
    for (std::string line; std::getline(in, line);) {
      lines.push_back(nlohmann::json::parse(line));
    }
    return lines;
  }
};

TEST(ProgressBar, RedrawsInPlace) {
  Job job(ProgressMode::bar);
  job.progress->begin(write, 0, 1000 * MiB);
  EXPECT_EQ(job.terminal.text(),
            "/dev/sdb write    0% [>            ]      0 B / 1000 MiB            for 0:00");
  job.run(4, 100 * MiB);
  EXPECT_EQ(job.terminal.text(),
            "/dev/sdb write   40% [=====>       ]  400 MiB / 1000 MiB  100 MiB/s ETA 0:06");
  EXPECT_TRUE(job.terminal.cursor_is_below_everything());
  job.run(6, 100 * MiB);
  EXPECT_THAT(job.terminal.text(), HasSubstr(" 99% "));
  job.progress->end(write, 0);
  EXPECT_EQ(job.terminal.text(),
            "/dev/sdb write  100% [=============] 1000 MiB / 1000 MiB  100 MiB/s in 0:10");
  job.progress->begin(verify, 0, 1000 * MiB);
  job.run(5, 200 * MiB, verify);
  job.progress->finish();
  EXPECT_EQ(job.terminal.text(),
            "/dev/sdb verify  99% [============>] 1000 MiB / 1000 MiB  200 MiB/s ETA 0:00");
  EXPECT_TRUE(job.terminal.cursor_is_below_everything());
}

TEST(ProgressBar, ShowsEachTargetAt40Columns) {
  Job job(ProgressMode::bar, 40, {"/dev/sdb", "/dev/disk/by-id/usb-Stick_1234"});
  job.progress->begin(write, 0, 1000 * MiB);
  job.progress->begin(write, 1, 1000 * MiB);
  job.run(2, 50 * MiB, write, 2);
  job.progress->end(write, 0);
  EXPECT_EQ(job.terminal.text(),
            "/dev/sdb write  100% 50.0 MiB/s 0:02\n"
            "..k_1234 write   10% 50.0 MiB/s 0:18");
}

TEST(ProgressBar, ShowsEachTargetAt200Columns) {
  Job job(ProgressMode::bar, 200, {"/dev/sdb", "/dev/disk/by-id/usb-Stick_1234"});
  job.progress->begin(write, 0, 1000 * MiB);
  job.progress->begin(write, 1, std::nullopt);
  job.run(2, 50 * MiB, write, 2);
  EXPECT_EQ(
      job.terminal.text(),
      "/dev/sdb                        write    10%  [====>                                        "
      "   ]   100 MiB / 1000 MiB  50.0 MiB/s  ETA 0:18\n"
      "/dev/disk/by-id/usb-Stick_1234  write                                           "
      "                              100 MiB  50.0 MiB/s  for 0:02");
}

TEST(ProgressBar, FollowsTheTerminalsWidth) {
  Job job(ProgressMode::bar, 80);
  job.terminal.print("before");
  job.progress->begin(write, 0, 1000 * MiB);
  job.run(2, 50 * MiB);
  job.terminal.resize(40);  // this terminal cuts lines, it does not wrap them anew
  job.run(1, 50 * MiB);
  EXPECT_THAT(job.terminal.text(), HasSubstr("/dev/sdb write   15% 50.0 MiB/s 0:17"));
  EXPECT_TRUE(job.terminal.cursor_is_below_everything());
}

TEST(ProgressBar, LeavesOutTargetsThatDoNotFitTheScreen) {
  Job job(ProgressMode::bar, 80, std::vector<std::string>(50, "/dev/sdb"));
  for (std::size_t i = 0; i < 50; ++i) {
    job.progress->begin(write, i, 1000 * MiB);
  }
  job.run(1, 10 * MiB, write, 50);
  const std::string text = job.terminal.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 22);
  EXPECT_TRUE(text.ends_with("... and 28 more")) << text;
}

TEST(ProgressBar, PutsMessagesAboveTheBars) {
  Job job(ProgressMode::bar);
  job.progress->begin(write, 0, 1000 * MiB);
  job.run(1, 10 * MiB);
  job.progress->say("io_uring is not allowed here: using threads");
  job.run(1, 10 * MiB);
  EXPECT_EQ(job.terminal.text(),
            "io_uring is not allowed here: using threads\n"
            "/dev/sdb write    2% [>            ] 20.0 MiB / 1000 MiB 10.0 MiB/s ETA 1:38");
}

TEST(ProgressBar, StaysAwayFromTheScreenInTheBackground) {
  Job job(ProgressMode::bar);
  job.terminal.foreground = false;
  job.progress->begin(write, 0, 1000 * MiB);
  job.run(1, 10 * MiB);
  EXPECT_EQ(job.terminal.raw, "");
  job.terminal.foreground = true;
  job.run(1, 10 * MiB);
  EXPECT_THAT(job.terminal.text(), HasSubstr("  2% "));
}

TEST(ProgressBar, SurvivesATerminalThatGoesAway) {
  Job job(ProgressMode::bar);
  job.progress->begin(write, 0, 1000 * MiB);
  job.terminal.gone = true;
  job.run(1, 10 * MiB);
  job.terminal.gone = false;  // another program's by now
  const std::string before = job.terminal.raw;
  job.run(1, 10 * MiB);
  job.progress->finish();
  EXPECT_EQ(job.terminal.raw, before);
}

TEST(ProgressBar, IsNotHeldUpByAStoppedTerminal) {
  Job job(ProgressMode::bar);
  job.progress->begin(write, 0, 1000 * MiB);
  job.terminal.takes = 7;  // bytes at a time
  job.run(2, 10 * MiB);
  job.terminal.takes = 0;
  job.run(20, 10 * MiB);
  job.terminal.takes = std::string::npos;
  job.run(1, 10 * MiB);
  EXPECT_EQ(job.terminal.text(),
            "/dev/sdb write   23% [==>          ]  230 MiB / 1000 MiB 10.0 MiB/s ETA 1:17");
}

TEST(ProgressPlain, SpeaksEveryTenSecondsOfALongJob) {
  Job job(ProgressMode::plain);
  job.progress->begin(write, 0, 1000 * MiB);
  job.run(9.8, 10 * MiB);
  EXPECT_EQ(job.terminal.raw, "");
  job.run(15, 10 * MiB);
  job.progress->end(write, 0);
  EXPECT_EQ(job.terminal.raw,
            "imgtool: /dev/sdb: write 10%, 100 MiB of 1000 MiB, 10.0 MiB/s, ETA 1:30\n"
            "imgtool: /dev/sdb: write 20%, 200 MiB of 1000 MiB, 10.0 MiB/s, ETA 1:20\n");
}

TEST(ProgressJson, PrintsBeginAndEndAndAFewLinesASecond) {
  Job job(ProgressMode::json);
  job.progress->begin(write, 0, 1000 * MiB);
  job.run(10, 100 * MiB);
  job.progress->end(write, 0);
  const auto lines = job.json_lines();
  EXPECT_EQ(lines.front()["done"], 0);
  EXPECT_EQ(lines.back()["done"], 1000 * MiB);
  EXPECT_EQ(lines.back()["eta_s"], 0.0);
  EXPECT_NEAR(lines.back()["rate"].get<double>(), 100.0 * MiB, 0.5 * MiB);
  EXPECT_GE(lines.size(), 30U);
  EXPECT_LE(lines.size(), 42U);
}

TEST(ProgressJson, KeepsBeginAndEndForASlowReader) {
  Job job(ProgressMode::json);
  job.terminal.takes = 0;
  job.progress->begin(write, 0, 1000 * MiB);
  job.run(10, 100 * MiB);
  job.progress->end(write, 0);
  EXPECT_EQ(job.terminal.raw, "");
  job.progress->finish();
  EXPECT_EQ(job.json_lines().size(), 2U);
}

TEST(Progress, AnswersSigusr1InAnyMode) {
  for (const ProgressMode mode :
       {ProgressMode::none, ProgressMode::plain, ProgressMode::json, ProgressMode::bar}) {
    Job job(mode, 80, {"/dev/sdb", "/dev/sdc"});
    job.progress->begin(write, 0, 1000 * MiB);
    job.run(4, 100 * MiB);
    job.status_requested = true;
    job.progress->tick();
    EXPECT_EQ(job.messages,
              "/dev/sdb: write 40%, 400 MiB of 1000 MiB, 100 MiB/s, ETA 0:06\n"
              "/dev/sdc: waiting\n");
  }
}

TEST(Progress, AStopThatTakesLongIsAnsweredOnce) {
  Job job(ProgressMode::none);
  job.progress->begin(write, 0, 1000 * MiB);
  job.run(1, 2 * MiB);
  job.stop_requested = true;
  job.run(0.2, 2 * MiB);
  EXPECT_EQ(job.messages, "");
  job.run(5, 2 * MiB);
  EXPECT_EQ(job.messages, "stopping: waits for what is under way; once more to leave at once\n");
}

TEST(Progress, NamesAFailedTargetAtOnce) {
  const char* why = "write of 512 bytes at offset 0: Input/output error";
  Job several(ProgressMode::none, 80, {"/dev/sdb", "/dev/sdc"});
  several.progress->begin(write, 0, 1000 * MiB);
  several.progress->failed(0, why);
  EXPECT_EQ(several.messages, fmt::format("/dev/sdb: failed: {}\n", why));
  EXPECT_EQ(several.terminal.raw, "");

  Job lone(ProgressMode::none);
  lone.progress->failed(0, why);
  EXPECT_EQ(lone.messages, "") << "the command says it, once";
}

TEST(Progress, RateFollowsTheLastSeconds) {
  RateMeter meter;
  meter.start(0);
  std::uint64_t done = 0;
  double now = 0;
  for (int i = 0; i < 300; ++i) {
    meter.sample(done += 10 * MiB, now += 0.1);
  }
  EXPECT_NEAR(meter.bytes_per_second(), 100.0 * MiB, MiB);
  for (int i = 0; i < 100; ++i) {
    meter.sample(done += MiB, now += 0.1);
  }
  EXPECT_LT(meter.bytes_per_second(), 25.0 * MiB);
  EXPECT_GT(meter.bytes_per_second(), 10.0 * MiB);
}

}  // namespace
}  // namespace imgtool
