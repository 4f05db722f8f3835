// What tests of jobs share: a folder with a source, and what must be true of it afterwards.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/io/pattern.hpp"
#include "tests/io/recording_observer.hpp"
#include "tests/io/temporary_folder.hpp"

namespace imgtool {

class JobFolder : public testing::Test {
 protected:
  static constexpr std::uint64_t size = 5 * io::MiB + 4608;

  // Data, with a hole in the middle.
  static std::vector<std::byte> source_content() {
    auto content = io::pattern({0, size});
    std::fill_n(content.begin() + 2 * io::MiB, io::MiB, std::byte{0});
    return content;
  }

  // The names in the folder beside the source, in order.
  [[nodiscard]] std::vector<std::string> others() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path("."))) {
      if (entry.path().filename() != "source") found.push_back(entry.path().filename());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  void expect_source_untouched() const { EXPECT_EQ(io::content_of(source_), content_); }

  io::TemporaryFolder folder_;
  const std::vector<std::byte> content_ = source_content();
  const std::string source_ = folder_.make("source", content_).path();
  const std::string out_ = folder_.path("out");
  io::StopFlag stop_{0};
  io::RecordingObserver observer_;
};

using Names = std::vector<std::string>;

}  // namespace imgtool
