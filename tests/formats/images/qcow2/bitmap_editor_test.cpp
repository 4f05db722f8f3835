// Bitmaps that are made, merged and removed in place.
#include "formats/images/qcow2/bitmap_editor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/editing.hpp"
#include "formats/images/qcow2/writer.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::qcow2 {
namespace {

using io::KiB;
using io::MiB;

class Qcow2BitmapEditor : public testing::Test {
 protected:
  Qcow2BitmapEditor() {
    WriterOptions options;
    options.create.geometry.cluster_bits = 9;
    Qcow2Target target(*ring_, file_, 8 * MiB, options);
    io::run_task(*ring_, target.zero({0, 8 * MiB}));
    io::run_task(*ring_, target.finish());
  }

  // The bits of the first bytes of one.
  [[nodiscard]] std::vector<unsigned> bits(const std::string& name, std::size_t bytes) const {
    const Header header = read_header(file_);
    for (const Bitmap& bitmap : read_bitmaps(TableReader(file_), header)) {
      if (bitmap.name != name) continue;
      const auto words = read_words(file_, bitmap.table_offset, bitmap.table_entries);
      std::vector<unsigned> found;
      for (const std::uint64_t word : words) {
        std::vector<std::byte> cluster(512,
                                       std::byte{static_cast<unsigned char>(word == 1 ? 255 : 0)});
        if (word > 1) file_.read_at(word, cluster);
        for (const std::byte one : cluster) found.push_back(std::to_integer<unsigned>(one));
      }
      found.resize(bytes);
      return found;
    }
    return {};
  }
  static void record(BitmapEditor& editor, const std::string& name,
                     const std::vector<io::ByteRange>& ranges) {
    editor.record(name, [&, next = ranges.begin()]() mutable {
      return next == ranges.end() ? io::ByteRange{} : *next++;
    });
  }
  void expect_clean() const {
    const CheckResult result = check(
        file_, [](const std::string& problem) { ADD_FAILURE() << problem; }, stop_);
    EXPECT_TRUE(result.clean());
  }

  io::TemporaryFolder folder_;
  const std::unique_ptr<io::Ring> ring_ = io::make_ring({}).ring;
  io::File file_{folder_.path("image"), O_RDWR | O_CREAT};
  io::StopFlag stop_{0};
};

TEST_F(Qcow2BitmapEditor, WhatIsRecordedIsThere) {
  BitmapEditor editor(file_, stop_);
  editor.add("fine", 9);
  editor.add("rough", 16);
  const std::vector<io::ByteRange> ranges = {{512, 1024}, {4096, 512}, {3 * MiB, 600}};
  record(editor, "fine", ranges);
  record(editor, "rough", ranges);
  editor.finish();
  expect_clean();
  EXPECT_EQ(bits("fine", 2), (std::vector<unsigned>{0b110, 0b1}));
  EXPECT_EQ(bits("fine", 769).back(), 0b11U);
  EXPECT_EQ(bits("rough", 7), (std::vector<unsigned>{1, 0, 0, 0, 0, 0, 1}));
}

TEST_F(Qcow2BitmapEditor, MergingRoundsOutwards) {
  BitmapEditor editor(file_, stop_);
  editor.add("fine", 9);
  editor.add("rough", 12);
  editor.add("back", 9);
  const std::vector<io::ByteRange> ranges = {{4096 - 512, 1024}};
  record(editor, "fine", ranges);
  editor.merge("rough", file_, "fine");
  editor.merge("back", file_, "rough");
  editor.merge("back", file_, "back");
  editor.finish();
  expect_clean();
  EXPECT_EQ(bits("rough", 1), (std::vector<unsigned>{0b11}));
  EXPECT_EQ(bits("back", 3), (std::vector<unsigned>{255, 255, 0}));
}

TEST_F(Qcow2BitmapEditor, AWholeDiskIsRecorded) {
  BitmapEditor editor(file_, stop_);
  editor.add("all", 9);
  record(editor, "all", {{0, 8 * MiB}});
  editor.add("copy", 10);
  editor.merge("copy", file_, "all");
  editor.finish();
  expect_clean();
  EXPECT_EQ(bits("all", 2048), std::vector<unsigned>(2048, 255));
  EXPECT_EQ(bits("copy", 1024), std::vector<unsigned>(1024, 255));
}

TEST_F(Qcow2BitmapEditor, WhatIsRemovedLeavesNothing) {
  {
    BitmapEditor editor(file_, stop_);
    editor.add("one", 9);
    record(editor, "one", {{0, 8 * MiB}});
    editor.finish();
  }
  BitmapEditor editor(file_, stop_);
  editor.remove("one");
  EXPECT_THROW(editor.clear("one"), io::Error);
  editor.finish();
  expect_clean();
  EXPECT_FALSE(read_header(file_).bitmaps.has_value());
}

}  // namespace
}  // namespace formats::qcow2
