// Refcounts that are changed beside the old ones: nothing that is in use is written over, and one
// write takes all of it into use.
#include "formats/images/qcow2/refcount_editor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/editing.hpp"
#include "formats/images/qcow2/writer.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::qcow2 {
namespace {

using io::KiB;

class Qcow2RefcountEditor : public testing::TestWithParam<std::uint32_t> {
 protected:
  Qcow2RefcountEditor() {
    WriterOptions options;
    options.create.geometry.cluster_bits = 9;
    options.create.refcount_bits = GetParam();
    Qcow2Target target(*ring_, file_, 64 * KiB, options);
    const io::AlignedMemory memory(64 * KiB);
    const auto content = io::pattern({0, 64 * KiB});
    std::copy(content.begin(), content.end(), memory.bytes().begin());
    io::run_task(*ring_, target.write(0, memory.buffer()));
    io::run_task(*ring_, target.finish());
  }

  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> all(file_.size());
    file_.read_at(0, all);
    return all;
  }
  [[nodiscard]] CheckResult checked() const {
    return check(
        file_, [](const std::string&) {}, stop_);
  }

  io::TemporaryFolder folder_;
  const std::unique_ptr<io::Ring> ring_ = io::make_ring({}).ring;
  io::File file_{folder_.path("image"), O_RDWR | O_CREAT};
  io::StopFlag stop_{0};
};

TEST_P(Qcow2RefcountEditor, NothingInUseIsWrittenOverBeforeTheHeaderIs) {
  const auto before = bytes();
  Header header = read_editable(file_);
  RefcountEditor editor(file_, header);
  const HostOffset place = editor.allocate(3);
  EXPECT_GE(place.value, before.size());
  EXPECT_EQ(editor.at(place.value / 512 + 2), 1U);
  std::vector<std::byte> now = bytes();
  now.resize(before.size());
  EXPECT_EQ(now, before);
  editor.take_into_use(header);
  EXPECT_EQ(checked().corruptions, 0U);
  EXPECT_EQ(checked().leaks, 3U);  // nothing names them
  editor.release(place, 3 * 512);
  editor.take_into_use(header);
  EXPECT_TRUE(checked().clean());
}

TEST_P(Qcow2RefcountEditor, WhatIsNotTakenIntoUseIsCutOff) {
  const auto before = bytes();
  {
    RefcountEditor editor(file_, read_editable(file_));
    (void)editor.place(std::vector<std::byte>(5 * KiB, std::byte{1}));
    EXPECT_GT(file_.size(), before.size());
  }
  EXPECT_EQ(bytes(), before);
}

TEST_P(Qcow2RefcountEditor, WhatIsInUseIsNotCutOffByAnotherEditor) {
  Header header = read_editable(file_);
  RefcountEditor outer(file_, header);
  const HostOffset first = outer.allocate(1);
  outer.take_into_use(header);
  std::uint64_t size = 0;
  {
    RefcountEditor inner(file_, header);
    inner.release(first, 512);
    (void)inner.place(std::vector<std::byte>(5 * KiB, std::byte{1}));
    inner.take_into_use(header);
    size = file_.size();
  }
  EXPECT_EQ(file_.size(), size);
  EXPECT_EQ(checked().corruptions, 0U);
}

TEST_P(Qcow2RefcountEditor, WhatBecameFreeIsNotUsedAgainBySameEditor) {
  Header header = read_editable(file_);
  RefcountEditor editor(file_, header);
  const HostOffset first = editor.allocate(1);
  editor.take_into_use(header);
  const HostOffset old_table = header.refcount_table_offset;
  editor.release(first, 512);
  editor.take_into_use(header);
  EXPECT_NE(header.refcount_table_offset, old_table);
  const HostOffset next = editor.allocate(1);
  EXPECT_NE(next, first);
  EXPECT_NE(next, old_table);
  // Another one does.
  editor.release(next, 512);
  editor.take_into_use(header);
  RefcountEditor other(file_, header);
  EXPECT_LE(other.allocate(1), first);
}

TEST_P(Qcow2RefcountEditor, TheTableGrows) {
  Header header = read_editable(file_);
  const std::uint32_t before = header.refcount_table_clusters;
  const std::uint64_t covered =
      std::uint64_t{before} * 64 * (512 * 8 / header.refcount_bits);  // clusters
  RefcountEditor editor(file_, header);
  const HostOffset place = editor.allocate(covered);
  editor.take_into_use(header);
  EXPECT_GT(header.refcount_table_clusters, before);
  EXPECT_EQ(read_editable(file_).refcount_table_clusters, header.refcount_table_clusters);
  EXPECT_EQ(editor.at(place.value / 512 + covered - 1), 1U);
  editor.release(place, covered * 512);
  editor.take_into_use(header);
  EXPECT_TRUE(checked().clean());
}

TEST_P(Qcow2RefcountEditor, ACountHasAnEnd) {
  RefcountEditor editor(file_, read_editable(file_));
  const std::uint64_t cluster = editor.allocate(1).value / 512;
  const std::uint32_t bits = GetParam();
  if (bits > 16) return;
  for (std::uint64_t count = 1; count < (std::uint64_t{1} << bits) - 1; ++count) {
    editor.take(cluster);
  }
  EXPECT_THROW(editor.take(cluster), io::Error);
  EXPECT_THROW(editor.release(cluster + 100000), io::Error);
}

INSTANTIATE_TEST_SUITE_P(Widths, Qcow2RefcountEditor, testing::Values(1, 2, 8, 16, 64));

}  // namespace
}  // namespace formats::qcow2
