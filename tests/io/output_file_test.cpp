#include "io/output_file.hpp"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.hpp"
#include "io/image_lock.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

namespace fs = std::filesystem;
using Start = OutputFile::Start;

class OutputFileTest : public testing::Test {
 protected:
  // The names in the folder, in order.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_.path("."))) {
      found.push_back(entry.path().filename());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  static ErrorKind kind_of_failure(const std::string& path, bool replace,
                                   Start start = Start::empty) {
    try {
      const OutputFile file(path, replace, start);
    } catch (const Error& error) {
      return error.kind();
    }
    ADD_FAILURE() << "did not throw";
    return ErrorKind::cancelled;
  }

  static mode_t mode_of(const std::string& path) {
    struct stat found {};
    EXPECT_EQ(stat(path.c_str(), &found), 0);
    return found.st_mode & 07777U;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.path("out");
  const std::vector<std::byte> new_ = pattern({0, 5000});
  const std::vector<std::byte> old_ = pattern({0, 3000}, 9);
};

using Names = std::vector<std::string>;

TEST_F(OutputFileTest, HasItsNameOnlyWhenItIsComplete) {
  OutputFile file(path_, false);
  file.file().write_at(0, new_);
  EXPECT_EQ(names(), (Names{"out.imgtool-partial"}));
  file.publish();
  EXPECT_EQ(names(), (Names{"out"}));
  EXPECT_EQ(content_of(path_), new_);
}

TEST_F(OutputFileTest, ARunThatFailsLeavesNothing) {
  {
    OutputFile file(path_, false);
    file.file().write_at(0, new_);
  }
  EXPECT_EQ(names(), Names{});
}

TEST_F(OutputFileTest, AnExistingFileIsRefusedAndUntouched) {
  folder_.make("out", old_);
  EXPECT_EQ(kind_of_failure(path_, false), ErrorKind::refused);
  EXPECT_EQ(names(), (Names{"out"}));
  EXPECT_EQ(content_of(path_), old_);
}

TEST_F(OutputFileTest, WhatIsReplacedStaysUntilTheNewOneIsComplete) {
  folder_.make("out", old_);
  OutputFile file(path_, true);
  file.file().write_at(0, new_);
  EXPECT_EQ(content_of(path_), old_);
  file.publish();
  EXPECT_EQ(content_of(path_), new_);
  EXPECT_EQ(names(), (Names{"out"}));
}

TEST_F(OutputFileTest, AFailedReplacementKeepsTheOldOne) {
  folder_.make("out", old_);
  { const OutputFile file(path_, true); }
  EXPECT_EQ(content_of(path_), old_);
  EXPECT_EQ(names(), (Names{"out"}));
}

TEST_F(OutputFileTest, AFolderIsNotReplaced) {
  fs::create_directory(path_);
  EXPECT_EQ(kind_of_failure(path_, true), ErrorKind::refused);
}

TEST_F(OutputFileTest, ThroughALinkWhatItLeadsToIsReplaced) {
  folder_.make("real", old_);
  fs::create_symlink("real", path_);
  OutputFile file(path_, true);
  file.file().write_at(0, new_);
  file.publish();
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(content_of(folder_.path("real")), new_);
}

TEST_F(OutputFileTest, ThroughLinksToWhatIsNotThereYetItIsMade) {
  fs::create_directory(folder_.path("deep"));
  fs::create_symlink("deep/link", path_);
  fs::create_symlink("../real", folder_.path("deep/link"));
  OutputFile file(path_, false);
  EXPECT_EQ(file.partial_path(), OutputFile::partial_path_of(folder_.path("deep/link")));
  file.file().write_at(0, new_);
  file.publish();
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(content_of(folder_.path("real")), new_);
}

TEST_F(OutputFileTest, LinksThatLeadNowhereAreLeftAlone) {
  fs::create_symlink("out", path_);
  EXPECT_EQ(kind_of_failure(path_, true), ErrorKind::system);
  fs::remove(path_);
  fs::create_symlink("gone/real", path_);
  EXPECT_EQ(kind_of_failure(path_, true), ErrorKind::system);
  EXPECT_TRUE(fs::is_symlink(path_));
}

TEST_F(OutputFileTest, ALinkInThePartialFilesPlaceIsNotFollowed) {
  folder_.make("victim", old_);
  fs::create_symlink("victim", path_ + ".imgtool-partial");
  EXPECT_EQ(kind_of_failure(path_, false), ErrorKind::system);
  EXPECT_EQ(content_of(folder_.path("victim")), old_);
}

TEST_F(OutputFileTest, TwoWritersCannotMeet) {
  OutputFile first(path_, false);
  first.file().write_at(0, new_);
  EXPECT_EQ(kind_of_failure(path_, false), ErrorKind::refused);
  first.publish();
  EXPECT_EQ(content_of(path_), new_) << "the second one did not harm it";
}

// As after a kill -9: the kernel lets go of the lock a little later.
TEST_F(OutputFileTest, WaitsALittleForTheLockOfOneThatIsGone) {
  File holder = folder_.make("out.imgtool-partial", old_);
  ASSERT_EQ(flock(holder.fd(), LOCK_EX), 0);
  std::thread kernel([&holder] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    holder = File();
  });
  {
    OutputFile file(path_, false);
    EXPECT_EQ(file.file().size(), 0U) << "what was left over is taken over, empty";
    file.publish();
  }
  kernel.join();
  EXPECT_EQ(names(), (Names{"out"}));
}

TEST_F(OutputFileTest, ResumeGoesOnWithWhatWasKept) {
  {
    OutputFile file(path_, false);
    file.file().write_at(0, old_);
    file.keep_partial();
  }
  EXPECT_EQ(names(), (Names{"out.imgtool-partial"}));
  {
    OutputFile again(path_, false, Start::resume);
    EXPECT_EQ(again.file().size(), old_.size());
    again.publish();
  }
  EXPECT_EQ(content_of(path_), old_);
  EXPECT_EQ(names(), (Names{"out"}));
}

TEST_F(OutputFileTest, ResumeGoesOnInPlaceWithWhatWasFinished) {
  folder_.make("out", old_);
  {
    OutputFile file(path_, false, Start::resume);
    EXPECT_EQ(file.partial_path(), file.path());
    file.file().write_at(0, std::span(new_).first(10));
  }
  auto expected = old_;
  std::copy_n(new_.begin(), 10, expected.begin());
  EXPECT_EQ(content_of(path_), expected) << "never removed, not even by a run that fails";
  EXPECT_EQ(names(), (Names{"out"}));
}

TEST_F(OutputFileTest, ResumeOfNothingIsAnError) {
  EXPECT_EQ(kind_of_failure(path_, false, Start::resume), ErrorKind::system);
  EXPECT_EQ(names(), Names{});
}

TEST_F(OutputFileTest, AFileThatAppearedMeanwhileIsKept) {
  {
    OutputFile file(path_, false);
    folder_.make("out", old_);
    EXPECT_THROW(file.publish(), Error);
  }
  EXPECT_EQ(content_of(path_), old_);
  EXPECT_EQ(names(), (Names{"out"}));
}

// Between the look at the name and the rename.
TEST_F(OutputFileTest, OneThatIsToBeReplacedMayAppearMeanwhile) {
  OutputFile file(path_, true);
  folder_.make("out", old_);
  file.file().write_at(0, new_);
  file.publish();
  EXPECT_EQ(content_of(path_), new_);
}

TEST_F(OutputFileTest, ANewFileHasTheModeThatWasAskedFor) {
  const mode_t mask = umask(022);
  for (const mode_t mode : {0666U, 0600U}) {
    OutputFile file(path_, true, Start::empty, mode);
    EXPECT_EQ(mode_of(file.partial_path()), mode & ~022U);
    file.publish();
    EXPECT_EQ(mode_of(path_), mode & ~022U);
    fs::remove(path_);
  }
  umask(mask);
}

TEST_F(OutputFileTest, WhatReplacesAPrivateFileIsPrivateFromTheStart) {
  folder_.make("out", old_);
  fs::permissions(path_, fs::perms{0600});
  OutputFile file(path_, true);
  EXPECT_EQ(mode_of(file.partial_path()), 0600U);
  file.publish();
  EXPECT_EQ(mode_of(path_), 0600U);
}

TEST_F(OutputFileTest, ALeftOverThatEveryoneMayReadIsMadeAsANewOneWouldBe) {
  folder_.make("out", old_);
  fs::permissions(path_, fs::perms{0600});
  folder_.make("out.imgtool-partial", old_);
  fs::permissions(path_ + ".imgtool-partial", fs::perms{0666});
  OutputFile file(path_, true);
  EXPECT_EQ(mode_of(file.partial_path()), 0600U);
  EXPECT_EQ(file.file().size(), 0U);
}

TEST_F(OutputFileTest, APartialFileThatAnotherUserMadeIsNotTakenOver) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const File prepared = folder_.make("out.imgtool-partial", old_);
  ASSERT_EQ(fchown(prepared.fd(), 1000, 1000), 0);
  for (const Start start : {Start::empty, Start::resume}) {
    EXPECT_EQ(kind_of_failure(path_, false, start), ErrorKind::refused);
  }
  EXPECT_EQ(content_of(prepared.path()), old_);
}

TEST_F(OutputFileTest, AnImageThatIsInUseIsNotReplaced) {
  folder_.make("out", old_);
  const File machine(path_, O_RDWR);
  ASSERT_TRUE(lock_image(machine, ImageUse::writing));
  EXPECT_EQ(kind_of_failure(path_, true), ErrorKind::refused);
  EXPECT_EQ(content_of(path_), old_);
  EXPECT_EQ(names(), (Names{"out"}));
}

TEST_F(OutputFileTest, AFolderThatMayBeWrittenToButNotReadIsNoFailure) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  fs::permissions(folder_.path("."), fs::perms{0733});
  ASSERT_EQ(seteuid(1000), 0);
  {
    OutputFile file(path_, false);
    file.file().write_at(0, new_);
    EXPECT_NO_THROW(file.publish());
  }
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_EQ(content_of(path_), new_);
}

TEST_F(OutputFileTest, AFolderThatIsMissingIsAnError) {
  EXPECT_EQ(kind_of_failure(folder_.path("missing/out"), false), ErrorKind::system);
}

}  // namespace
}  // namespace io
