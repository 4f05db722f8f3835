// The places an image can go to, each with its own end.
#include "imgtool/jobs/image_output.hpp"

#include <gtest/gtest.h>

#include "io/buffer_pool.hpp"
#include "io/task_group.hpp"
#include "tests/imgtool/jobs/failing_ring.hpp"
#include "tests/imgtool/jobs/job_folder.hpp"

namespace imgtool {
namespace {

using Kind = FailingRing::Kind;

class ImageOutputTest : public JobFolder {
 protected:
  [[nodiscard]] OutputPlan plan() const { return plan_output(options_, out_, bytes_); }

  std::unique_ptr<ImageOutput> open() {
    return std::make_unique<ImageOutput>(
        ring_.ring(), plan(), bytes_, std::vector<std::string>{source_}, workers_, nullptr, stop_);
  }
  void write(ImageOutput& output) {
    const io::AlignedMemory memory(bytes_);
    std::copy_n(content_.begin(), bytes_, memory.bytes().begin());
    io::run_task(ring_.ring(), output.target().write(0, memory.buffer().first(bytes_)));
  }
  [[nodiscard]] std::vector<std::byte> written() const {
    return {content_.begin(), content_.begin() + static_cast<std::ptrdiff_t>(bytes_)};
  }

  static constexpr std::uint64_t bytes_ = 128 * io::KiB;
  FailingRing ring_;
  io::WorkerPool workers_{1};
  OutputOptions options_;
};

TEST_F(ImageOutputTest, ANewFileCanBeReadBeforeItHasItsName) {
  const auto output = open();
  output->start();
  write(*output);
  output->complete();
  EXPECT_EQ(others(), Names{"out.imgtool-partial"});
  EXPECT_EQ(io::content_of(output->file()->path()), written());
  EXPECT_EQ(output->publish(bytes_), "");
  EXPECT_EQ(others(), Names{"out"});
  EXPECT_EQ(io::content_of(out_), written());
}

TEST_F(ImageOutputTest, OneThatIsNotFinishedLeavesNothingUnlessItIsKept) {
  for (const bool keep : {false, true}) {
    {
      const auto output = open();
      output->start();
      write(*output);
      output->keep_partial(keep);
    }
    EXPECT_EQ(others(), keep ? Names{"out.imgtool-partial"} : Names{});
  }
  options_.resume = true;
  const auto output = open();
  output->start();
  output->finish(bytes_);
  EXPECT_EQ(io::content_of(out_), written()) << "what was kept is still there";
}

TEST_F(ImageOutputTest, InPlaceAFileKeepsItsLength) {
  folder_.make("out", io::pattern({0, 2 * bytes_}, 4));
  options_.existing = true;
  const auto output = open();
  EXPECT_EQ(output->file(), nullptr);
  EXPECT_TRUE(output->disks().empty()) << "a file needs no question";
  output->start();
  write(*output);
  output->finish(bytes_);
  auto expected = io::pattern({0, 2 * bytes_}, 4);
  std::copy_n(content_.begin(), bytes_, expected.begin());
  EXPECT_EQ(io::content_of(out_), expected);
}

TEST_F(ImageOutputTest, InPlaceATooSmallFileIsRefusedUntouched) {
  const auto small = io::pattern({0, 1000});
  folder_.make("out", small);
  options_.existing = true;
  EXPECT_THROW(open(), io::Error);
  EXPECT_EQ(io::content_of(out_), small);
  std::filesystem::remove(out_);
  EXPECT_THROW(open(), io::Error) << "-n makes no file";
  EXPECT_EQ(others(), Names{});
}

TEST_F(ImageOutputTest, TheSourceIsNeverTheOutput) {
  options_.force = true;
  const auto open_source = [this] {
    return ImageOutput(ring_.ring(), plan_output(options_, source_, bytes_), bytes_, {source_},
                       workers_, nullptr, stop_);
  };
  EXPECT_THROW(open_source(), io::Error);
  expect_source_untouched();
}

TEST_F(ImageOutputTest, OnlyAFullFileSystemOfTheFileItselfIsExplained) {
  const auto output = open();
  output->start();
  const io::CopyTarget copy;
  const std::string partial = output->file()->path();
  const auto text = [&](const io::Error& error) {
    return std::string(output->explained(error, copy, bytes_).what());
  };
  EXPECT_NE(text(io::Error::system("write", partial, ENOSPC)).find("are needed"),
            std::string::npos);
  for (const io::Error& error :
       {io::Error::system("write", partial, EIO), io::Error::system("write", "map", ENOSPC)}) {
    EXPECT_EQ(text(error), error.what());
  }
}

TEST_F(ImageOutputTest, LanesFitIntoMemory) {
  const auto output = open();
  output->start();
  io::CopyOptions copy;
  copy.chunk_size = 16 * io::MiB;
  copy.lanes = 100;
  output->tune_for(copy, 4);
  EXPECT_EQ(copy.lanes, 8U);
}

}  // namespace
}  // namespace imgtool
