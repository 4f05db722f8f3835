#include "imgtool/guest/work_folder.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include <stdlib.h>
#include <sys/stat.h>

namespace imgtool::guest {
namespace {

namespace fs = std::filesystem;

class WorkFolderTest : public testing::Test {
 protected:
  WorkFolderTest() {
    std::string name = (fs::temp_directory_path() / "imgtool-test-XXXXXX").string();
    parent = mkdtemp(name.data());
  }
  ~WorkFolderTest() override { fs::remove_all(parent); }

  // As a killed run leaves it behind.
  fs::path leave(const std::string& name) {
    const fs::path folder = parent / name;
    fs::create_directory(folder);
    fs::permissions(folder, fs::perms::owner_all);
    return folder;
  }

  fs::path parent;
};

TEST_F(WorkFolderTest, IsThereUntilTheRunEnds) {
  {
    const WorkFolder folder(parent);
    EXPECT_TRUE(fs::is_directory(folder.path()));
    EXPECT_EQ(fs::path(folder.path()).parent_path(), fs::canonical(parent));
  }
  EXPECT_TRUE(fs::is_empty(parent));
}

TEST_F(WorkFolderTest, IsNotTakenAwayByAnotherRun) {
  const WorkFolder first(parent);
  const WorkFolder second(parent);
  EXPECT_TRUE(fs::exists(first.path()));
  EXPECT_TRUE(fs::exists(second.path()));
}

TEST_F(WorkFolderTest, OfAKilledRunGoesWithTheNextWhateverIsInIt) {
  const fs::path empty = leave(".imgtool-work-aaaaaa");
  const fs::path full = leave(".imgtool-work-bbbbbb");
  fs::create_directories(full / "deep" / "er");
  ASSERT_EQ(mkfifo((full / "lock").c_str(), 0600), 0);
  const WorkFolder folder(parent);
  EXPECT_FALSE(fs::exists(empty));
  EXPECT_FALSE(fs::exists(full));
}

TEST_F(WorkFolderTest, TakesNothingThatIsNotLikeOne) {
  const fs::path other = leave(".imgtool-work-of-mine");
  const fs::path readable = leave(".imgtool-work-cccccc");
  fs::permissions(readable, fs::perms::others_read, fs::perm_options::add);
  fs::create_directory_symlink(other, parent / ".imgtool-work-dddddd");
  const WorkFolder folder(parent);
  EXPECT_TRUE(fs::exists(other));
  EXPECT_TRUE(fs::exists(readable));
  EXPECT_TRUE(fs::is_symlink(parent / ".imgtool-work-dddddd"));
}

}  // namespace
}  // namespace imgtool::guest
