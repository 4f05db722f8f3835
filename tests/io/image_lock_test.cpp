#include "io/image_lock.hpp"

#include <chrono>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "io/error.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

// As QEMU does: a read lock on one byte.
void hold(const File& file, off_t byte, short type = F_RDLCK) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  ASSERT_EQ(fcntl(file.fd(), F_OFD_SETLK, &lock), 0);
}

class ImageLockTest : public testing::Test {
 protected:
  ImageLockTest() { folder_.make("image"); }
  [[nodiscard]] File open(int flags = O_RDONLY) const { return {folder_.path("image"), flags}; }
  [[nodiscard]] bool excluded(ImageUse use) const {
    const File file = open();
    return excluded_by_others(file.fd(), use);
  }

  TemporaryFolder folder_;
};

TEST_F(ImageLockTest, ReadersShareAndExcludeWriters) {
  const File one = open();
  const File other = open();
  EXPECT_TRUE(lock_image(one, ImageUse::reading));
  EXPECT_TRUE(lock_image(other, ImageUse::reading));
  EXPECT_FALSE(excluded(ImageUse::reading));
  EXPECT_TRUE(excluded(ImageUse::writing));
}

TEST_F(ImageLockTest, AWriterIsAlone) {
  {
    const File writer = open();  // one who replaces a file need not be able to write to it
    EXPECT_TRUE(lock_image(writer, ImageUse::writing));
    EXPECT_TRUE(excluded(ImageUse::reading));
    EXPECT_TRUE(excluded(ImageUse::writing));
  }
  EXPECT_FALSE(excluded(ImageUse::writing)) << "the lock ends with the file";
}

TEST_F(ImageLockTest, AVirtualMachineThatWritesExcludesBoth) {
  const File machine = open(O_RDWR);
  hold(machine, 101);
  for (const ImageUse use : {ImageUse::reading, ImageUse::writing}) {
    EXPECT_TRUE(excluded(use));
    const File file = open(O_RDWR);
    try {
      lock_image(file, use);
      ADD_FAILURE() << "was locked";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::refused);
    }
  }
  EXPECT_TRUE(excluded(ImageUse::writing));
}

TEST_F(ImageLockTest, AVirtualMachineThatReadsABaseExcludesWritersOnly) {
  const File machine = open();
  hold(machine, 100);
  hold(machine, 201);
  hold(machine, 203);
  EXPECT_FALSE(excluded(ImageUse::reading));
  EXPECT_TRUE(excluded(ImageUse::writing));
}

TEST_F(ImageLockTest, WhatIsRefusedHoldsNothing) {
  const File machine = open(O_RDWR);
  hold(machine, 101);
  const File refused = open(O_RDWR);
  EXPECT_THROW(lock_image(refused, ImageUse::writing), Error);
  hold(machine, 101, F_UNLCK);
  EXPECT_FALSE(excluded(ImageUse::writing));
}

TEST_F(ImageLockTest, WaitsALittleForAProgramThatEnds) {
  File machine = open(O_RDWR);
  hold(machine, 101);
  std::thread ends([&machine] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    machine = File();
  });
  const File file = open();
  EXPECT_TRUE(lock_image(file, ImageUse::reading));
  ends.join();
}

}  // namespace
}  // namespace io
