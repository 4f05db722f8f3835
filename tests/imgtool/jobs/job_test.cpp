// How much is under way at the same time, by what the devices and the user say.
#include "imgtool/jobs/job.hpp"

#include <gtest/gtest.h>

#include "imgtool/terminal/usage_error.hpp"
#include "io/byte_range.hpp"

namespace imgtool {
namespace {

using io::KiB;
using io::MiB;

io::QueueLimits queue_of(std::uint64_t requests, std::uint64_t optimal_io_bytes = 0) {
  io::QueueLimits limits;
  limits.request_count = requests;
  limits.optimal_io_bytes = optimal_io_bytes;
  return limits;
}

io::CopyOptions tuned(const TuningOptions& tuning) { return choose_copy_options(tuning, {}, {}); }

TEST(CopyOptions, AMebibyteInEachOfManyLanes) {
  const io::CopyOptions options = choose_copy_options({}, 8 * io::GiB, {queue_of(64)});
  EXPECT_EQ(options.chunk_size, MiB);
  EXPECT_EQ(options.lanes, 32U);
  EXPECT_EQ(options.bytes_per_second, 0U);
}

TEST(CopyOptions, OneShortQueueHoldsForAll) {
  EXPECT_EQ(choose_copy_options({}, {}, {queue_of(64), queue_of(2)}).lanes, 4U);
  EXPECT_EQ(choose_copy_options({}, {}, {queue_of(16)}).lanes, 32U);
}

TEST(CopyOptions, ChunksAreWhatADiskLikesBest) {
  EXPECT_EQ(choose_copy_options({}, {}, {queue_of(64, 3 * MiB)}).chunk_size, 4 * MiB);
  EXPECT_EQ(choose_copy_options({}, {}, {queue_of(64, 64 * KiB)}).chunk_size, MiB);
  EXPECT_EQ(choose_copy_options({}, {}, {queue_of(64, io::GiB)}).chunk_size, 16 * MiB);
}

TEST(CopyOptions, NoChunkIsSmallerThanACluster) {
  TuningOptions tuning;
  tuning.chunk_size = 64 * KiB;
  EXPECT_EQ(choose_copy_options(tuning, {}, {}, 2 * MiB).chunk_size, 2 * MiB);
  EXPECT_EQ(choose_copy_options(tuning, {}, {}, 512).chunk_size, 64 * KiB);
}

TEST(CopyOptions, MemoryIsBounded) {
  for (const std::uint64_t chunk : {64 * KiB, MiB, 16 * MiB}) {
    TuningOptions tuning;
    tuning.chunk_size = chunk;
    tuning.depth = 256;
    const io::CopyOptions options = tuned(tuning);
    EXPECT_LE(options.lanes * options.chunk_size, 64 * MiB) << chunk;
    EXPECT_GE(options.lanes, 1U);
  }
  // The digests of so many chunks would not fit.
  EXPECT_EQ(choose_copy_options({}, 65536 * io::GiB, {}).chunk_size, 16 * MiB);
}

TEST(CopyOptions, TheUserHasTheLastWord) {
  TuningOptions tuning;
  tuning.depth = 7;
  tuning.chunk_size = 256 * KiB;
  tuning.rate = 1000;
  const io::CopyOptions options = choose_copy_options(tuning, {}, {queue_of(2, 4 * MiB)});
  EXPECT_EQ(options.lanes, 7U);
  EXPECT_EQ(options.chunk_size, 256 * KiB);
  EXPECT_EQ(options.bytes_per_second, 1000U);
}

TEST(CopyOptions, ChunksThatAreNoPowerOfTwoAreRefused) {
  for (const std::uint64_t chunk : {std::uint64_t{0}, 32 * KiB, 3 * MiB, 32 * MiB}) {
    TuningOptions tuning;
    tuning.chunk_size = chunk;
    EXPECT_THROW(tuned(tuning), UsageError) << chunk;
  }
}

}  // namespace
}  // namespace imgtool
