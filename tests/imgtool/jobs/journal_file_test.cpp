#include "imgtool/jobs/journal_file.hpp"

#include <filesystem>

#include <gtest/gtest.h>

#include "io/error.hpp"
#include "tests/io/temporary_folder.hpp"

namespace imgtool {
namespace {

class JournalFileTest : public testing::Test {
 protected:
  [[nodiscard]] JournalFile open(bool resume, const JobIdentity& identity) const {
    return {path_, identity, resume};
  }
  [[nodiscard]] JournalFile open(bool resume) const { return open(resume, identity_); }
  std::string refusal(bool resume, const JobIdentity& identity) const {
    try {
      (void)open(resume, identity);
    } catch (const io::Error& error) {
      EXPECT_EQ(error.kind(), io::ErrorKind::refused);
      return error.what();
    }
    return "";
  }

  io::TemporaryFolder folder_;
  const std::string path_ = folder_.path("map");
  const JobIdentity identity_{"a disk", "a file", 100 * io::MiB};
};

TEST_F(JournalFileTest, WhatIsDoneAndWhatIsLostIsThereAgain) {
  {
    JournalFile file = open(false);
    file.journal().completed({0, io::MiB});
    file.journal().checkpoint_begin();
    file.journal().checkpoint_commit();
    file.journal().mark_bad({5 * io::MiB, 4096});
    file.save();
  }
  JournalFile again = open(true);
  const auto untried = again.journal().untried();
  ASSERT_EQ(untried.size(), 2U);
  EXPECT_EQ(untried.front(), (io::ByteRange{io::MiB, 4 * io::MiB}));
  EXPECT_EQ(again.journal().states().at(5 * io::MiB).value, io::BlockState::bad);
}

TEST_F(JournalFileTest, NothingIsStartedAnewOverOneThatIsThere) {
  { const JournalFile file = open(false); }
  EXPECT_NE(refusal(false, identity_).find("exists already"), std::string::npos);
}

TEST_F(JournalFileTest, ItBelongsToOneSourceOneTargetAndOneSize) {
  EXPECT_NE(refusal(true, identity_), "") << "there is none";
  { const JournalFile file = open(false); }
  EXPECT_EQ(refusal(true, identity_), "");
  EXPECT_NE(refusal(true, {"another disk", "a file", identity_.size}).find("another source"),
            std::string::npos);
  EXPECT_NE(refusal(true, {"a disk", "another file", identity_.size}).find("another target"),
            std::string::npos);
  EXPECT_NE(refusal(true, {"a disk", "a file", identity_.size + 512}).find("bytes"),
            std::string::npos);
}

TEST_F(JournalFileTest, AMapfileOfAnotherProgramIsNotGoneOnWith) {
  const std::string foreign = "# Mapfile. Created by GNU ddrescue\n0x0 ? 1\n0x0 0x6400000 ?\n";
  folder_.make("map", std::as_bytes(std::span(foreign)));
  EXPECT_NE(refusal(true, identity_).find("not made by imgtool"), std::string::npos);
}

TEST_F(JournalFileTest, ASaveThatFailsDoesNotEndTheJob) {
  std::filesystem::create_directory(folder_.path("deep"));
  JournalFile file(folder_.path("deep/map"), identity_, false);
  std::filesystem::remove_all(folder_.path("deep"));
  testing::internal::CaptureStderr();
  EXPECT_NO_THROW(file.save());
  EXPECT_NO_THROW(file.save());
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("could not be resumed"), std::string::npos);
  EXPECT_EQ(said.find("could not be resumed"), said.rfind("could not be resumed")) << "once";
}

}  // namespace
}  // namespace imgtool
