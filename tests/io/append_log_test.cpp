#include "io/append_log.hpp"

#include <gtest/gtest.h>

#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/recording_target.hpp"

namespace io {
namespace {

class AppendLogTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Engines, AppendLogTest, engines_here(), engine_name);

constexpr std::uint64_t piece = AppendLog::piece_bytes;

TEST_P(AppendLogTest, WritesAlignedPiecesAndThenTheRest) {
  RecordingTarget file(ring(), 2 * piece + 5000);
  AppendLog log(file);
  auto content = pattern({0, 2 * piece + 4700});
  log.append(std::span(content).first(3000));
  log.append(std::span(content).subspan(3000, piece));  // into the next piece
  run_task(ring(), log.write_full_pieces());
  log.append(std::span(content).subspan(3000 + piece));
  log.append_zeros(300);
  EXPECT_EQ(log.position(), file.content().size());
  run_task(ring(), log.finish());

  content.resize(file.content().size());
  EXPECT_EQ(file.content(), content);
  const std::vector<Done> log_of_writes = {{Done::What::write, {0, piece}},
                                           {Done::What::write, {piece, piece}},
                                           {Done::What::write, {2 * piece, 5000}}};
  EXPECT_EQ(file.log(), log_of_writes);
}

TEST_P(AppendLogTest, StartsAnywhereAndKeepsToTheGrid) {
  RecordingTarget file(ring(), 2 * piece);
  AppendLog log(file);
  log.start_at(piece - 512);
  const auto content = pattern({0, 1024});
  log.append(content);
  run_task(ring(), log.finish());
  const std::vector<Done> expected = {{Done::What::write, {piece - 512, 512}},
                                      {Done::What::write, {piece, 512}}};
  EXPECT_EQ(file.log(), expected);
  EXPECT_TRUE(std::equal(content.begin(), content.end(),
                         file.content().begin() + static_cast<std::ptrdiff_t>(piece - 512)));
}

TEST_P(AppendLogTest, NothingAppendedIsNothingWritten) {
  RecordingTarget file(ring(), 10);
  AppendLog log(file);
  run_task(ring(), log.finish());
  EXPECT_TRUE(file.log().empty());
}

// Memory comes back with the bytes of earlier pieces in it.
TEST_P(AppendLogTest, ZerosAreZerosInReusedMemory) {
  RecordingTarget file(ring(), 2 * piece);
  AppendLog log(file);
  log.append(pattern({0, piece}));
  run_task(ring(), log.write_full_pieces());
  log.append_zeros(piece);
  run_task(ring(), log.finish());
  const std::vector<std::byte> zeros(piece);
  EXPECT_TRUE(std::equal(zeros.begin(), zeros.end(),
                         file.content().begin() + static_cast<std::ptrdiff_t>(piece)));
}

}  // namespace
}  // namespace io
