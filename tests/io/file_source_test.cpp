#include "io/file_source.hpp"

#include <gtest/gtest.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "io/zero_run.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/loop_device.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

class FileSourceTest : public EngineTest {
 protected:
  std::vector<std::byte> read(FileSource& source, ByteRange range) {
    const AlignedMemory memory(range.length);
    EXPECT_EQ(run_task(ring(), source.read(range, memory.buffer())), range.length);
    return {memory.bytes().begin(),
            memory.bytes().begin() + static_cast<std::ptrdiff_t>(range.length)};
  }
  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Engines, FileSourceTest, engines_here(), engine_name);

TEST_P(FileSourceTest, ReadsEverySizeThatHurts) {
  for (const bool direct : {true, false}) {
    for (const std::uint64_t size : {1U, 511U, 512U, 4095U, 4096U, 4097U, 70'000U}) {
      const std::string name = std::to_string(size) + (direct ? "d" : "c");
      File file = folder_.make(name, pattern({0, size}));
      FileSource source(ring(), file, size, direct);
      EXPECT_EQ(source.size(), size);
      EXPECT_EQ(read(source, {0, size}), pattern({0, size})) << name;
    }
  }
}

TEST_P(FileSourceTest, ReadsFromAnyOffset) {
  for (const bool direct : {true, false}) {
    File file = folder_.make(direct ? "d" : "c", pattern({0, 20'000}));
    FileSource source(ring(), file, 20'000, direct);
    for (const ByteRange range :
         {ByteRange{1, 1}, ByteRange{511, 2}, ByteRange{4095, 4098}, ByteRange{4096, 4096},
          ByteRange{19'999, 1}, ByteRange{12'345, 7655}}) {
      EXPECT_EQ(read(source, range), pattern(range)) << range.offset;
    }
  }
}

TEST_P(FileSourceTest, WritesNothingBesideTheBytesThatWereAskedFor) {
  for (const bool direct : {true, false}) {
    File file = folder_.make(direct ? "d" : "c", pattern({0, 20'000}));
    FileSource source(ring(), file, 20'000, direct);
    for (const ByteRange range : {ByteRange{0, 1}, ByteRange{4096, 5000}, ByteRange{16'384, 3616},
                                  ByteRange{8192, 4096}, ByteRange{12'288, 512}}) {
      for (const std::size_t before : {0U, 1U, 512U}) {
        const AlignedMemory memory(range.length + 8192);
        const Buffer there = memory.buffer().subspan(before, range.length);
        EXPECT_EQ(run_task(ring(), source.read(range, there)), range.length);
        EXPECT_TRUE(std::ranges::equal(there.bytes, pattern(range))) << range.offset;
        EXPECT_TRUE(is_zero(memory.bytes().first(before)));
        EXPECT_TRUE(is_zero(memory.bytes().subspan(before + range.length))) << range.offset;
      }
    }
  }
}

TEST_P(FileSourceTest, ShowsNoMoreThanItsSize) {
  File file = folder_.make("file", pattern({0, 10'000}));
  FileSource source(ring(), file, 5000, true);
  EXPECT_EQ(source.extent_at(4999).range, (ByteRange{4999, 1}));
  EXPECT_EQ(read(source, {0, 5000}), pattern({0, 5000}));
}

TEST_P(FileSourceTest, HolesAreSeenWithoutReading) {
  File file = folder_.make("file");
  file.truncate(16 * MiB);
  file.write_at(4 * MiB, pattern({4 * MiB, MiB}));
  FileSource source(ring(), file, 16 * MiB, false);
  EXPECT_EQ(source.extent_at(0), (Extent{{0, 4 * MiB}, ExtentKind::hole}));
  EXPECT_EQ(source.extent_at(MiB), (Extent{{MiB, 3 * MiB}, ExtentKind::hole}));
  EXPECT_EQ(source.extent_at(4 * MiB), (Extent{{4 * MiB, MiB}, ExtentKind::data}));
  EXPECT_EQ(source.extent_at(5 * MiB), (Extent{{5 * MiB, 11 * MiB}, ExtentKind::hole}));
  EXPECT_EQ(source.extent_at(2 * MiB).kind, ExtentKind::hole) << "backwards too";
  EXPECT_EQ(read(source, {3 * MiB, MiB}), std::vector<std::byte>(MiB));
}

TEST_P(FileSourceTest, AFileThatGotShorterIsAnError) {
  for (const bool direct : {true, false}) {
    File file = folder_.make(direct ? "d" : "c", pattern({0, 10'000}));
    FileSource source(ring(), file, 10'000, direct);
    file.truncate(6000);
    const AlignedMemory memory(12'288);
    for (const ByteRange range : {ByteRange{0, 10'000}, ByteRange{4097, 5000}}) {
      try {
        run_task(ring(), source.read(range, memory.buffer()));
        ADD_FAILURE() << "did not throw";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::format);
        EXPECT_EQ(error.range()->offset, 6000U);
      }
    }
  }
}

TEST_P(FileSourceTest, ADeviceIsDataAndReadsInItsSectors) {
  for (const unsigned sector : {512U, 4096U}) {
    const File backing = folder_.make(std::to_string(sector), pattern({0, 64 * KiB}));
    const auto device = LoopDevice::make(backing, sector);
    if (!device) GTEST_SKIP() << "needs root and loop devices";
    File file(device->path(), O_RDONLY);
    FileSource source(ring(), file, 64 * KiB, true);
    EXPECT_TRUE(source.direct());
    EXPECT_EQ(source.extent_at(100), (Extent{{100, 64 * KiB - 100}, ExtentKind::data}));
    for (const ByteRange range : {ByteRange{0, 64 * KiB}, ByteRange{512, 512},
                                  ByteRange{1000, 5000}, ByteRange{64 * KiB - 1, 1}}) {
      EXPECT_EQ(read(source, range), pattern(range)) << sector << ' ' << range.offset;
    }
  }
}

}  // namespace
}  // namespace io
