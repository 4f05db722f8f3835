// A qcow2 image that becomes larger or smaller in place: the content that stays is the same, what
// is new is zeros, and the image is consistent.
#include "formats/images/qcow2/resize.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "formats/images/image.hpp"
#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/writer.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "io/worker_pool.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::qcow2 {
namespace {

using io::KiB;
using io::MiB;

class Qcow2Resize : public testing::Test {
 protected:
  // All data.
  void make(std::uint64_t size, const WriterOptions& options = {}) {
    io::File file(path_, O_RDWR | O_CREAT | O_TRUNC);
    Qcow2Target target(*ring_, file, size, options);
    const io::AlignedMemory memory(size);
    const auto content = io::pattern({0, size});
    std::copy(content.begin(), content.end(), memory.bytes().begin());
    for (std::uint64_t at = 0; at < size; at += MiB) {
      const std::uint64_t length = std::min(MiB, size - at);
      io::run_task(*ring_, target.write(at, memory.buffer().subspan(at, length)));
    }
    io::run_task(*ring_, target.finish());
  }
  [[nodiscard]] io::File open() const { return {path_, O_RDWR}; }

  // `kept` bytes as they were, zeros behind them.
  void expect_disk(std::uint64_t size, std::uint64_t kept) {
    const CheckResult result = check(
        open(), [](const std::string& problem) { ADD_FAILURE() << problem; }, stop_);
    EXPECT_TRUE(result.clean());
    const auto image = open_image(*ring_, path_, {});
    ASSERT_EQ(image->size(), size);
    const io::AlignedMemory memory(io::align_up(size, 4096));
    io::run_task(*ring_, image->read({0, size}, memory.buffer()));
    auto expected = io::pattern({0, kept});
    expected.resize(size);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), memory.bytes().begin()));
  }

  io::TemporaryFolder folder_;
  const std::string path_ = folder_.path("image");
  const std::unique_ptr<io::Ring> ring_ = io::make_ring({}).ring;
  io::StopFlag stop_{0};
};

TEST_F(Qcow2Resize, WhatIsNewIsZeros) {
  make(3 * MiB + 512);
  grow(open(), 9 * MiB, stop_);
  expect_disk(9 * MiB, 3 * MiB + 512);
}

TEST_F(Qcow2Resize, ATableThatBecomesTooShortMoves) {
  WriterOptions options;
  options.create.geometry.cluster_bits = 9;  // 32 KiB of the disk in each L1 entry
  make(MiB, options);
  grow(open(), 64 * MiB, stop_);
  expect_disk(64 * MiB, MiB);
}

TEST_F(Qcow2Resize, WhatWasCutOffDoesNotComeBack) {
  make(4 * MiB);
  const std::uint64_t end = MiB + 20 * KiB;  // in the middle of a cluster
  shrink(open(), end, stop_);
  expect_disk(end, end);
  grow(open(), 4 * MiB, stop_);
  expect_disk(4 * MiB, end);
}

TEST_F(Qcow2Resize, SizesAreWholeSectors) {
  make(MiB);
  grow(open(), 2 * MiB + 1, stop_);
  expect_disk(2 * MiB + 512, MiB);
}

TEST_F(Qcow2Resize, ACompressedClusterIsNotCutInTwo) {
  io::WorkerPool workers(1);
  WriterOptions options;
  options.codec = Codec{};
  options.workers = &workers;
  io::File file(path_, O_RDWR | O_CREAT | O_TRUNC);
  {
    Qcow2Target target(*ring_, file, MiB, options);
    const io::AlignedMemory memory(MiB);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{'a'});
    io::run_task(*ring_, target.write(0, memory.buffer()));
    io::run_task(*ring_, target.finish());
  }
  const auto before = io::content_of(path_);
  try {
    shrink(open(), 100 * KiB, stop_);
    ADD_FAILURE() << "was cut";
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::refused);
  }
  EXPECT_EQ(io::content_of(path_), before);
  shrink(open(), 128 * KiB, stop_);
  EXPECT_EQ(open_image(*ring_, path_, {})->size(), 128 * KiB);
}

TEST_F(Qcow2Resize, AStopBeforeItsFirstWriteChangesNothing) {
  make(MiB);
  const auto before = io::content_of(path_);
  stop_ = 2;
  EXPECT_THROW(grow(open(), 2 * MiB, stop_), io::Error);
  EXPECT_THROW(shrink(open(), 512 * KiB, stop_), io::Error);
  EXPECT_EQ(io::content_of(path_), before);
}

TEST_F(Qcow2Resize, LosesNothingForASizeThatIsNotPossible) {
  make(MiB);
  const auto before = io::content_of(path_);
  EXPECT_THROW(grow(open(), std::uint64_t{1} << 62, stop_), io::Error);
  EXPECT_EQ(io::content_of(path_), before);
}

}  // namespace
}  // namespace formats::qcow2
