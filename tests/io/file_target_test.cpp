#include "io/file_target.hpp"

#include <cerrno>
#include <cstring>

#include <gtest/gtest.h>
#include <linux/falloc.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/loop_device.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/scripted_ring.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

constexpr std::uint64_t target_size = 64 * KiB;
constexpr std::uint64_t old_seed = 5;

// What a target must hold after requests: the old content with changes laid over it.
class Expected {
 public:
  Expected() : bytes_(pattern({0, target_size}, old_seed)) {}
  void write(ByteRange range) { lay(range, pattern(range)); }
  void zero(ByteRange range) { lay(range, std::vector<std::byte>(range.length)); }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  void lay(ByteRange range, const std::vector<std::byte>& content) {
    std::copy(content.begin(), content.end(),
              bytes_.begin() + static_cast<std::ptrdiff_t>(range.offset));
  }
  std::vector<std::byte> bytes_;
};

void write_pattern(Ring& ring, Target& target, ByteRange range) {
  const auto content = pattern(range);
  const AlignedMemory memory(range.length);
  std::copy(content.begin(), content.end(), memory.bytes().begin());
  run_task(ring, target.write(range.offset, memory.buffer().first(range.length)));
}

// Ranges with odd heads and tails, for sectors of 512 and of 4096.
const std::vector<ByteRange> odd_ranges = {{0, 1},
                                           {511, 1},
                                           {1, 511},
                                           {512, 511},
                                           {513, 2},
                                           {4095, 2},
                                           {4096, 4095},
                                           {100, 200},
                                           {8192, 4096},
                                           {8191, 4098},
                                           {12'288, 9000},
                                           {20'001, 12'345},
                                           {40'000, 512},
                                           {40'448, 1024},
                                           {target_size - 1, 1},
                                           {target_size - 5000, 5000}};

class FileTargetTest : public EngineTest {
 protected:
  void hold_against_odd_ranges(File& file, const FileTargetOptions& options) {
    FileTarget target(ring(), file, target_size, options);
    Expected expected;
    for (const ByteRange& range : odd_ranges) {
      write_pattern(ring(), target, range);
      expected.write(range);
      ASSERT_EQ(bytes_of(file), expected.bytes()) << "write " << range.offset;
    }
    for (const ByteRange& range : odd_ranges) {
      run_task(ring(), target.zero(range));
      expected.zero(range);
      ASSERT_EQ(bytes_of(file), expected.bytes()) << "zero " << range.offset;
    }
    run_task(ring(), target.flush());
  }
  static std::vector<std::byte> bytes_of(const File& file) {
    const AlignedMemory memory(target_size);
    EXPECT_EQ(file.read_at(0, memory.bytes()), target_size);
    return {memory.bytes().begin(), memory.bytes().end()};
  }
  // On a loop device with this sector, or a complaint that there is none.
  void hold_on_a_loop_device(unsigned sector, bool direct) {
    const File backing = folder_.make("backing", pattern({0, target_size}, old_seed));
    const auto device = LoopDevice::make(backing, sector);
    if (!device) GTEST_SKIP() << "needs root and loop devices";
    File file(device->path(), O_RDWR);
    EXPECT_EQ(file.direct_alignment().offset, sector);
    FileTargetOptions options;
    options.direct = direct;
    hold_against_odd_ranges(file, options);
    EXPECT_EQ(content_of(folder_.path("backing")).size(), target_size);
  }
  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Engines, FileTargetTest, engines_here(), engine_name);

TEST_P(FileTargetTest, OddRangesNeverTouchTheirNeighboursInAFile) {
  for (const bool direct : {true, false}) {
    File file = folder_.make(direct ? "direct" : "cached", pattern({0, target_size}, old_seed));
    FileTargetOptions options;
    options.direct = direct;
    hold_against_odd_ranges(file, options);
    EXPECT_EQ(file.size(), target_size);
  }
}

TEST_P(FileTargetTest, OddRangesNeverTouchTheirNeighboursOnSectorsOf512) {
  hold_on_a_loop_device(512, true);
}

TEST_P(FileTargetTest, OddRangesNeverTouchTheirNeighboursOnSectorsOf4096) {
  hold_on_a_loop_device(4096, true);
}

TEST_P(FileTargetTest, ThroughThePageCacheOnADevice) { hold_on_a_loop_device(4096, false); }

TEST_P(FileTargetTest, EveryZeroMethodGivesZeros) {
  int number = 0;
  for (const auto method :
       {ZeroMethod::punch_hole, ZeroMethod::zero_range, ZeroMethod::zero_out, ZeroMethod::write}) {
    File file = folder_.make(std::to_string(number++), pattern({0, target_size}, old_seed));
    FileTargetOptions options;
    options.first_zero_method = method;
    hold_against_odd_ranges(file, options);
  }
}

TEST_P(FileTargetTest, AFileJustMadeIsZerosAlready) {
  File file = folder_.make("file");
  FileTargetOptions options;
  options.starts_as_zeros = true;
  FileTarget target(ring(), file, target_size, options);
  run_task(ring(), target.zero({0, target_size}));
  EXPECT_EQ(file.size(), 0U) << "nothing was to be done";
}

TEST_P(FileTargetTest, AFileThatGrowsIsMadeLongerAheadOfItsDirectWrites) {
  File file = folder_.make("file");
  FileTargetOptions options;
  options.grows = true;
  FileTarget target(ring(), file, 1 * GiB, options);
  const AlignedMemory memory(64 * KiB);
  const std::uint64_t written = memory.bytes().size();
  run_task(ring(), target.write(0, memory.buffer()));
  const std::uint64_t ahead = file.size();
  // The page cache has no such need.
  if (target.direct()) {
    EXPECT_GT(ahead, written);
  } else {
    EXPECT_EQ(ahead, written);
  }
  run_task(ring(), target.write(ahead - 32 * KiB, memory.buffer()));
  EXPECT_GT(file.size(), ahead);
}

TEST_P(FileTargetTest, AFileThatGrowsIsNeverMadeShorter) {
  File file = folder_.make("file");
  file.truncate(256 * MiB);
  FileTargetOptions options;
  options.grows = true;
  FileTarget target(ring(), file, 1 * GiB, options);
  const AlignedMemory memory(64 * KiB);
  run_task(ring(), target.write(64 * MiB, memory.buffer()));
  EXPECT_EQ(file.size(), 256 * MiB);
}

TEST_P(FileTargetTest, SaysWhatItIs) {
  File file = folder_.make("file", pattern({0, target_size}));
  FileTarget target(ring(), file, target_size, {});
  EXPECT_EQ(target.name(), file.path());
  EXPECT_EQ(target.capacity(), target_size);
  EXPECT_GE(target.zero_grain(), 4096U);
  EXPECT_EQ(target.zero_grain() & (target.zero_grain() - 1), 0U) << "a power of two";
}

// --- the ladder of zeroing methods, on a ring that plays an old kernel or file system ---

bool punches(const Request& request) {
  return request.kind == Request::Kind::allocate && (request.mode & FALLOC_FL_PUNCH_HOLE) != 0;
}

bool is_allocate(const Request& request) { return request.kind == Request::Kind::allocate; }

class ZeroLadder : public testing::Test {
 protected:
  // Zeroes [0, 8 KiB) and [16 KiB, 24 KiB).
  void zero_twice(ScriptedRing& ring) {
    File file = folder_.make("file", pattern({0, target_size}, old_seed));
    FileTargetOptions options;
    options.direct = false;
    FileTarget target(ring, file, target_size, options);
    run_task(ring, target.zero({0, 8 * KiB}));
    run_task(ring, target.zero({16 * KiB, 8 * KiB}));
    Expected expected;
    expected.zero({0, 8 * KiB});
    expected.zero({16 * KiB, 8 * KiB});
    EXPECT_EQ(content_of(file.path()), expected.bytes());
  }
  TemporaryFolder folder_;
};

TEST_F(ZeroLadder, HolesArePunchedWhereTheyCanBe) {
  ScriptedRing ring([](const Request&) { return std::nullopt; });
  zero_twice(ring);
  ASSERT_EQ(ring.requests().size(), 2U);
  EXPECT_TRUE(punches(ring.requests()[0]));
  EXPECT_TRUE(punches(ring.requests()[1]));
}

TEST_F(ZeroLadder, WithoutHolesRangesAreZeroedAndThatIsRemembered) {
  ScriptedRing ring([](const Request& request) -> std::optional<std::int64_t> {
    if (punches(request)) return -EOPNOTSUPP;
    return std::nullopt;
  });
  zero_twice(ring);
  ASSERT_EQ(ring.count(Request::Kind::allocate), 3U);
  EXPECT_TRUE(punches(ring.requests()[0]));
  EXPECT_FALSE(punches(ring.requests()[1]));
  EXPECT_FALSE(punches(ring.requests()[2]));
}

TEST_F(ZeroLadder, WithNeitherZerosAreWrittenAndThatIsRemembered) {
  for (const int number : {EOPNOTSUPP, EINVAL, ENOSYS, ENODEV, EPERM}) {
    ScriptedRing ring([number](const Request& request) -> std::optional<std::int64_t> {
      if (is_allocate(request)) return -number;
      return std::nullopt;
    });
    zero_twice(ring);
    EXPECT_EQ(ring.count(Request::Kind::allocate), 2U) << errno_text(number);
    EXPECT_EQ(ring.count(Request::Kind::write), 2U) << errno_text(number);
    std::filesystem::remove(folder_.path("file"));
  }
}

TEST_F(ZeroLadder, InterruptedIsTriedAgainWithTheSameMethod) {
  int left = 2;
  ScriptedRing ring([&left](const Request& request) -> std::optional<std::int64_t> {
    if (is_allocate(request) && left-- > 0) return left == 1 ? -EINTR : -EAGAIN;
    return std::nullopt;
  });
  zero_twice(ring);
  EXPECT_EQ(ring.count(Request::Kind::allocate), 4U);
  for (const Request& request : ring.requests()) EXPECT_TRUE(punches(request));
}

TEST_F(ZeroLadder, ADeviceThatFailsIsAnErrorAndNotAStepDown) {
  File file = folder_.make("file", pattern({0, target_size}));
  ScriptedRing ring([](const Request& request) -> std::optional<std::int64_t> {
    if (is_allocate(request)) return -EIO;
    return std::nullopt;
  });
  FileTarget target(ring, file, target_size, {});
  try {
    run_task(ring, target.zero({4096, 8192}));
    ADD_FAILURE() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_number(), EIO);
    EXPECT_EQ(error.range(), (ByteRange{4096, 8192}));
  }
  EXPECT_EQ(ring.requests().size(), 1U);
}

// The page cache must not hide how slow a device is: it is flushed on the way.
TEST_F(ZeroLadder, CachedWritesAreFlushedEvery64MiB) {
  File file = folder_.make("file");
  ScriptedRing ring([](const Request& request) -> std::optional<std::int64_t> {
    if (request.kind == Request::Kind::write) return static_cast<std::int64_t>(request.length);
    return 0;
  });
  FileTargetOptions options;
  options.direct = false;
  FileTarget target(ring, file, GiB, options);
  const AlignedMemory memory(8 * MiB);
  for (std::uint64_t at = 0; at < 160 * MiB; at += 8 * MiB) {
    run_task(ring, target.write(at, memory.buffer()));
  }
  EXPECT_EQ(ring.count(Request::Kind::flush), 2U);
}

}  // namespace
}  // namespace io
