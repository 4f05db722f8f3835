#include "io/file.hpp"

#include <algorithm>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "tests/io/loop_device.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

constexpr std::uint64_t size = 3 * MiB + 512;

class FileTest : public testing::Test {
 protected:
  // Not in memory: such a file is always cached.
  TemporaryFolder folder_{"/var/tmp"};
  File file_ = folder_.make("file", pattern({0, size}));

  void forget_all() const {
    file_.sync();
    ASSERT_EQ(posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
  }
  void read_from(std::uint64_t offset) const {
    std::vector<std::byte> bytes(size - offset);
    file_.read_at(offset, bytes);
  }
};

TEST_F(FileTest, KnowsWhetherItIsCached) {
  forget_all();
  EXPECT_FALSE(file_.mostly_cached());
  posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_RANDOM);  // nothing is read ahead
  read_from(2 * MiB);
  EXPECT_FALSE(file_.mostly_cached()) << "a third of it";
  read_from(MiB);
  EXPECT_TRUE(file_.mostly_cached()) << "two thirds";
  EXPECT_FALSE(folder_.make("empty").mostly_cached());
}

TEST_F(FileTest, ADiskIsNeverCached) {
  const auto device = LoopDevice::make(file_, 512);
  if (!device) GTEST_SKIP() << "needs root and loop devices";
  std::vector<std::byte> bytes(MiB);
  const File disk(device->path(), O_RDONLY);
  disk.read_at(0, bytes);
  EXPECT_FALSE(disk.mostly_cached());
}

TEST_F(FileTest, OpensItselfOnceMorePastTheCache) {
  file_.sync();
  unlink(file_.path().c_str());  // it is the same file, whatever has its name now
  const File other = folder_.make("file");
  const File direct = file_.opened_direct();
  ASSERT_TRUE(direct.is_open());
  EXPECT_EQ(direct.path(), file_.path());
  EXPECT_EQ(direct.status().identity, file_.status().identity);
  EXPECT_NE(fcntl(direct.fd(), F_GETFL) & O_DIRECT, 0);
  EXPECT_EQ(fcntl(file_.fd(), F_GETFL) & O_DIRECT, 0);
  const AlignedMemory memory(MiB);
  EXPECT_EQ(direct.read_at(MiB, memory.bytes()), MiB);
  EXPECT_TRUE(std::ranges::equal(memory.bytes(), pattern({MiB, MiB})));
}

TEST_F(FileTest, LinksAreFollowedToWhatNeedNotBeThere) {
  const std::string link = folder_.path("link");
  ASSERT_EQ(symlink("gone", link.c_str()), 0);
  EXPECT_EQ(through_links(link), folder_.path("gone"));
  EXPECT_EQ(through_links(folder_.path("gone")), folder_.path("gone"));
  ASSERT_EQ(symlink("circle", folder_.path("circle").c_str()), 0);
  EXPECT_THROW(through_links(folder_.path("circle")), Error);
}

}  // namespace
}  // namespace io
