// Content that is written into an image that exists, and snapshots of it: what is shared stays as
// it was, and the image is consistent.
#include "formats/images/qcow2/disk_editor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "formats/images/image.hpp"
#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/snapshot_editor.hpp"
#include "formats/images/qcow2/writer.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::qcow2 {
namespace {

using io::KiB;

struct EditedKind {
  std::uint32_t version;
  std::uint32_t cluster_bits;
  bool extended_l2;
};

class Qcow2DiskEditor : public testing::TestWithParam<EditedKind> {
 protected:
  static constexpr std::uint64_t size = 1024 * KiB;

  Qcow2DiskEditor() {
    WriterOptions options;
    options.create.version = GetParam().version;
    options.create.geometry = {GetParam().cluster_bits, GetParam().extended_l2};
    io::File file(path_, O_RDWR | O_CREAT);
    Qcow2Target target(*ring_, file, size, options);
    const io::AlignedMemory memory(size);
    content_ = io::pattern({0, size / 2});
    std::copy(content_.begin(), content_.end(), memory.bytes().begin());
    io::run_task(*ring_, target.write(0, memory.buffer().first(size / 2)));
    io::run_task(*ring_, target.zero({size / 2, size / 2}));
    io::run_task(*ring_, target.finish());
    content_.resize(size);
  }

  void write(std::uint64_t guest, std::uint64_t clusters, unsigned char byte) {
    const std::uint64_t bytes = clusters << GetParam().cluster_bits;
    const std::vector<std::byte> part(bytes, std::byte{byte});
    const io::File file(path_, O_RDWR);
    const Header header = read_header(file);
    DiskEditor editor(file, header, header);
    editor.write({guest}, part);
    editor.finish();
    std::copy(part.begin(), part.end(), content_.begin() + static_cast<std::ptrdiff_t>(guest));
  }

  void expect_disk(const std::vector<std::byte>& expected, const std::string& snapshot = {}) {
    const CheckResult result = check(
        io::File(path_, O_RDONLY), [](const std::string& problem) { ADD_FAILURE() << problem; },
        stop_);
    EXPECT_TRUE(result.clean());
    OpenOptions open;
    open.snapshot = snapshot;
    const auto image = open_image(*ring_, path_, open);
    const io::AlignedMemory memory(size);
    io::run_task(*ring_, image->read({0, size}, memory.buffer()));
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), memory.bytes().begin()));
  }

  io::TemporaryFolder folder_;
  const std::string path_ = folder_.path("image");
  const std::unique_ptr<io::Ring> ring_ = io::make_ring({}).ring;
  io::StopFlag stop_{0};
  std::vector<std::byte> content_;
};

TEST_P(Qcow2DiskEditor, WritesOverDataAndWhereNothingIs) {
  write(0, 2, 7);
  write(512 * KiB, 3, 8);
  write(size - (std::uint64_t{1} << GetParam().cluster_bits), 1, 9);
  expect_disk(content_);
}

TEST_P(Qcow2DiskEditor, ZerosTakeNoRoom) {
  const auto before = io::File(path_, O_RDONLY).size();
  write(0, 4, 0);
  write(768 * KiB, 2, 0);
  expect_disk(content_);
  write(0, 1, 5);
  expect_disk(content_);
  EXPECT_LE(io::File(path_, O_RDONLY).size(),
            before + (std::uint64_t{16} << GetParam().cluster_bits));
}

TEST_P(Qcow2DiskEditor, WhatIsWrittenInItsPlaceTakesNoNewClusters) {
  const auto before = io::File(path_, O_RDONLY).size();
  write(0, 4, 3);
  EXPECT_EQ(io::File(path_, O_RDONLY).size(), before);
  expect_disk(content_);
}

TEST_P(Qcow2DiskEditor, SnapshotsKeepWhatTheyHave) {
  const auto first = content_;
  {
    const io::File file(path_, O_RDWR);
    EXPECT_EQ(create_snapshot(file, "one", 1, 2, stop_).id, "1");
    EXPECT_THROW(create_snapshot(file, "one", 1, 2, stop_), io::Error);
  }
  write(0, 2, 7);
  write(256 * KiB, 2, 0);
  const auto second = content_;
  expect_disk(second);
  expect_disk(first, "one");
  const io::File file(path_, O_RDWR);
  EXPECT_EQ(create_snapshot(file, "two", 1, 2, stop_).id, "2");
  apply_snapshot(file, "one", stop_);
  expect_disk(first);
  expect_disk(second, "two");
  delete_snapshot(file, "1", stop_);
  expect_disk(first);
  apply_snapshot(file, "two", stop_);
  delete_snapshot(file, "two", stop_);
  expect_disk(second);
  EXPECT_THROW(apply_snapshot(file, "two", stop_), io::Error);
  empty_disk(file, stop_);
  expect_disk(std::vector<std::byte>(size));
}

TEST_P(Qcow2DiskEditor, StoppedBeforeTheEndItChangesNothing) {
  const io::File file(path_, O_RDWR);
  std::vector<std::byte> before(file.size());
  file.read_at(0, before);
  const io::StopFlag stop{1};
  EXPECT_THROW(create_snapshot(file, "one", 1, 2, stop), io::Error);
  EXPECT_THROW(empty_disk(file, stop), io::Error);
  std::vector<std::byte> now(file.size());
  file.read_at(0, now);
  EXPECT_EQ(now, before);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Qcow2DiskEditor,
                         testing::Values(EditedKind{2, 9, false}, EditedKind{3, 9, false},
                                         EditedKind{2, 16, false}, EditedKind{3, 16, false},
                                         EditedKind{3, 14, true}, EditedKind{3, 12, false}));

}  // namespace
}  // namespace formats::qcow2
