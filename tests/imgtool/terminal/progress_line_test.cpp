#include "imgtool/terminal/progress_line.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "imgtool/terminal/escape.hpp"
#include "io/byte_range.hpp"

namespace imgtool {
namespace {

using State = TargetProgress::State;

using io::GiB;
using io::MiB;

TargetProgress half_written() {
  return {.name = "/dev/sdb",
          .state = State::running,
          .phase = io::Phase::write,
          .done = 2 * GiB - 200 * MiB,
          .total = 4 * GiB,
          .rate = 312.0 * MiB,
          .elapsed_s = 6};
}

TEST(BarLine, FitsATerminalOfAnyWidth) {
  const TargetProgress target = half_written();
  EXPECT_EQ(bar_line(target, 8, 39), "/dev/sdb write   45%  312 MiB/s 0:07");
  EXPECT_EQ(bar_line(target, 8, 59), "/dev/sdb write   45% [=====>       ]  312 MiB/s ETA 0:07");
  EXPECT_EQ(bar_line(target, 8, 79),
            "/dev/sdb write   45% [=====>       ]   1.8 GiB / 4.0 GiB  312 MiB/s ETA 0:07");
  EXPECT_EQ(
      bar_line(target, 8, 199),
      "/dev/sdb  write    45%  [=====================>                          ]    1.8 GiB / 4.0 "
      "GiB   312 MiB/s  ETA 0:07");
}

TEST(BarLine, NeverExceedsItsColumns) {
  TargetProgress target = half_written();
  for (const char* name : {"x", "/dev/disk/by-id/usb-Extraordinarily_Long_Name_0123456789-0:0",
                           "磁盘/磁盘/磁盘/磁盘/磁盘/磁盘/磁盘", "\x1b[31m\xff\xff\xff"}) {
    target.name = name;
    for (const State state : {State::waiting, State::running, State::ended, State::failed}) {
      target.state = state;
      for (std::size_t columns = 1; columns < 250; ++columns) {
        const std::string line = bar_line(target, display_columns(terminal_text(name)), columns);
        ASSERT_LE(display_columns(line), columns) << line;
        ASSERT_EQ(line, terminal_text(line));
      }
    }
  }
}

TEST(BarLine, KeepsItsColumnsWhileNumbersGrow) {
  TargetProgress target = half_written();
  const std::size_t rate = bar_line(target, 8, 79).find("MiB/s");
  for (const std::uint64_t done : {std::uint64_t{1}, 10 * MiB, 1023 * MiB, 4 * GiB}) {
    target.done = done;
    target.rate = 1023.0 * MiB;
    EXPECT_EQ(bar_line(target, 8, 79).find("MiB/s"), rate);
  }
}

TEST(BarLine, ShowsWhatIsKnownOfAStream) {
  TargetProgress target = half_written();
  target.total = std::nullopt;
  target.elapsed_s = 42;
  EXPECT_EQ(bar_line(target, 8, 79),
            "/dev/sdb write                                   1.8 GiB  312 MiB/s for 0:42");
  target.phase = io::Phase::flush;
  target.done = 0;
  EXPECT_EQ(bar_line(target, 8, 79).substr(0, 14), "/dev/sdb flush");
}

TEST(BarLine, ShowsAFailureInsteadOfNumbers) {
  TargetProgress target = half_written();
  target.state = State::failed;
  target.why = "write of 4096 bytes at offset 8192: No space left on device";
  EXPECT_EQ(bar_line(target, 8, 39), "/dev/sdb failed: write of 4096 bytes at");
}

TEST(Percent, Is100OnlyAfterTheEnd) {
  TargetProgress target = half_written();
  EXPECT_EQ(percent(target), 45U);
  target.done = 4 * GiB;
  EXPECT_EQ(percent(target), 99U);
  target.done = 5 * GiB;
  EXPECT_EQ(percent(target), 99U);
  target.state = State::ended;
  EXPECT_EQ(percent(target), 100U);
  target.state = State::running;
  target.total = 0;
  EXPECT_EQ(percent(target), 0U);
  target.total = std::nullopt;
  EXPECT_EQ(percent(target), std::nullopt);
}

TEST(PlainLine, IsASentence) {
  TargetProgress target = half_written();
  EXPECT_EQ(plain_line(target), "/dev/sdb: write 45%, 1.8 GiB of 4.0 GiB, 312 MiB/s, ETA 0:07");
  target.total = std::nullopt;
  EXPECT_EQ(plain_line(target), "/dev/sdb: write, 1.8 GiB, 312 MiB/s, for 0:06");
  target.state = State::failed;
  target.why = "it\nbroke";
  EXPECT_EQ(plain_line(target), "/dev/sdb: failed: it\\nbroke");
  target.state = State::waiting;
  EXPECT_EQ(plain_line(target), "/dev/sdb: waiting");
}

TEST(JsonLine, IsOneObject) {
  TargetProgress target = half_written();
  target.name = "a\"b\xff";
  const auto parsed = nlohmann::json::parse(json_line(target));
  EXPECT_EQ(parsed["phase"], "write");
  EXPECT_EQ(parsed["target"], "a\"b\xef\xbf\xbd");
  EXPECT_EQ(parsed["done"], 2 * GiB - 200 * MiB);
  EXPECT_EQ(parsed["total"], 4 * GiB);
  EXPECT_EQ(parsed["rate"], 312 * MiB);
  EXPECT_NEAR(parsed["eta_s"].get<double>(), 7.2, 0.05);
  target.total = std::nullopt;
  EXPECT_TRUE(nlohmann::json::parse(json_line(target))["total"].is_null());
  EXPECT_TRUE(nlohmann::json::parse(json_line(target))["eta_s"].is_null());
}

}  // namespace
}  // namespace imgtool
