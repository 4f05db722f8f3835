#include "formats/images/vmdk/target.hpp"

#include <cstring>

#include "formats/images/vmdk/size_estimate.hpp"
#include "tests/formats/images/image_target_support.hpp"
#include "tests/io/recording_target.hpp"

namespace formats::vmdk {
namespace {

constexpr std::uint64_t one_grain = StreamTarget::grain_bytes;
constexpr std::uint64_t one_table = StreamTarget::table_covers;

StreamOptions options_for(std::uint64_t size, io::WorkerPool* workers) {
  StreamOptions options;
  options.size = size;
  options.extent_name = "disk.vmdk";
  options.workers = workers;
  return options;
}

std::unique_ptr<ImageTarget> new_stream(io::Ring& ring, io::File& file, std::uint64_t size,
                                        io::WorkerPool* workers) {
  return std::make_unique<StreamTarget>(ring, file, options_for(size, workers));
}

class VmdkTargetTest : public ImageTargetTest {
 protected:
  const std::vector<io::Extent> mixed_ = {
      data(0, one_grain + 100), hole(one_grain + 100, 3 * one_grain),
      data(3 * one_grain, 4 * one_grain), hole(4 * one_grain, 2 * one_table),
      data(2 * one_table, 2 * one_table + 77)};
};

TEST_P(VmdkTargetTest, IsReadBackAtAnyPlace) {
  const std::string path = write(new_stream, mixed_);
  EXPECT_EQ(read(path), content_);
  EXPECT_EQ(read(path, 30'000), content_);
  EXPECT_EQ(content_bytes_, 4 * one_grain);
}

TEST_P(VmdkTargetTest, GivesTheSameFileHoweverItIsMade) {
  expect_the_same_file_every_way(new_stream, mixed_);
}

TEST_P(VmdkTargetTest, WritesADiskOfNothing) {
  const std::string path = write(new_stream, {hole(0, 3 * one_table)});
  EXPECT_EQ(io::File(path, O_RDONLY).size(), stream_bytes(3 * one_table, 0, 0));
  EXPECT_EQ(read(path), content_);
}

TEST_P(VmdkTargetTest, APipeGetsTheSameBytesInOrderButForTheContentsName) {
  const Bytes file = io::content_of(write(new_stream, mixed_));
  io::RecordingTarget pipe(ring(), 4 * io::MiB);
  io::WorkerPool workers(2);
  io::PatternSource source(ring(), mixed_);
  StreamTarget target(ring(), pipe, options_for(source.content().size(), &workers));
  fill(target, source, {});
  ASSERT_EQ(target.file_bytes(), file.size());
  const auto front = static_cast<std::ptrdiff_t>(StreamTarget::front_sectors * sector);
  EXPECT_TRUE(std::equal(file.begin() + front, file.end(), pipe.content().begin() + front));
  std::uint64_t next = 0;
  for (const io::Done& done : pipe.log()) {
    EXPECT_EQ(done.range.offset, next);
    next = done.range.end();
  }
  EXPECT_EQ(next, file.size());
}

TEST_P(VmdkTargetTest, AFailureEndsAllLanes) {
  io::RecordingTarget pipe(ring(), 64 * io::MiB);
  pipe.fail_at(3 * io::MiB, ENOSPC);
  io::WorkerPool workers(2);
  io::PatternSource source(ring(), 24 * io::MiB);
  StreamTarget target(ring(), pipe, options_for(source.content().size(), &workers));
  try {
    fill(target, source, {2, 16, 4});
    ADD_FAILURE();
  } catch (const io::Error& error) {
    EXPECT_EQ(error.error_number(), ENOSPC);
  }
  EXPECT_TRUE(pipe.was_abandoned());
}

TEST_P(VmdkTargetTest, IsNotLongerThanWasForeseen) {
  const std::string path = write(new_stream, {data(0, one_table + one_grain)});
  EXPECT_LE(io::File(path, O_RDONLY).size(),
            stream_bytes(one_table + one_grain, 513 * grain_bytes_in_file(one_grain), 2));
}

INSTANTIATE_TEST_SUITE_P(Engines, VmdkTargetTest, io::engines_here(), io::engine_name);

TEST(VmdkStreamDescriptor, IsReadAsItWasMeant) {
  const Descriptor descriptor = parse_descriptor(stream_descriptor(4096, "a b.vmdk", Uuid{}));
  EXPECT_EQ(descriptor.create_type, "streamOptimized");
  EXPECT_EQ(descriptor.parent_id, no_parent);
  EXPECT_EQ(descriptor.extents.size(), 1U);
  EXPECT_EQ(descriptor.sectors, 4096U);
}

TEST(VmdkHeader, ReadsWhatItWrites) {
  Header header;
  header.version = 3;
  header.capacity = 12345;
  header.grain = 128;
  header.descriptor = 1;
  header.descriptor_length = 20;
  header.entries = 512;
  header.directory = 77;
  header.compressed = true;
  header.markers = true;
  const Header read = parse_header(to_bytes(header, 128), 0, "x");
  EXPECT_EQ(to_bytes(read, 128), to_bytes(header, 128));
  EXPECT_EQ(read.capacity, header.capacity);
  EXPECT_EQ(read.directory, header.directory);
}

}  // namespace
}  // namespace formats::vmdk
