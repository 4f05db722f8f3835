#include "formats/images/block_target.hpp"

#include "formats/images/vdi/new_image.hpp"
#include "formats/images/vhd/new_image.hpp"
#include "formats/images/vhdx/new_image.hpp"
#include "tests/formats/images/image_target_support.hpp"

namespace formats {
namespace {

using Layouts = std::function<std::unique_ptr<BlockLayout>(std::uint64_t)>;

MakeTarget target_of(const Layouts& layout) {
  return [layout](io::Ring& ring, io::File& file, std::uint64_t size, io::WorkerPool*) {
    return std::make_unique<BlockTarget>(ring, file, size, layout(size));
  };
}

const std::vector<std::pair<const char*, Layouts>>& all_layouts() {
  static const std::vector<std::pair<const char*, Layouts>> layouts = {
      {"fixed VHD", [](auto size) { return vhd::new_image(size, vhd::Kind::fixed); }},
      {"dynamic VHD", [](auto size) { return vhd::new_image(size, vhd::Kind::dynamic); }},
      {"VDI", [](auto size) { return vdi::new_image(size); }},
      {"VHDX", [](auto size) { return vhdx::new_image(size, 2 * io::MiB); }},
      {"VHDX with large blocks", [](auto size) { return vhdx::new_image(size, 8 * io::MiB); }},
  };
  return layouts;
}

class BlockTargetTest : public ImageTargetTest {
 protected:
  static constexpr std::uint64_t block = 2 * io::MiB;
  // The last extent begins inside a large block that was not stored before.
  const std::vector<io::Extent> mixed_ = {
      data(0, 4096), hole(4096, 2 * block), data(2 * block, 3 * block + 512),
      hole(3 * block + 512, 9 * block), data(9 * block, 9 * block + 5000)};
};

TEST_P(BlockTargetTest, IsReadBackAtAnyPlace) {
  for (const auto& [name, layout] : all_layouts()) {
    SCOPED_TRACE(name);
    const std::string path = write(target_of(layout), mixed_);
    EXPECT_TRUE(read(path) == content_);
    EXPECT_TRUE(read(path, 300'000) == content_);
  }
}

TEST_P(BlockTargetTest, GivesTheSameFileHoweverItIsMade) {
  for (const auto& [name, layout] : all_layouts()) {
    SCOPED_TRACE(name);
    expect_the_same_file_every_way(target_of(layout), mixed_);
  }
}

TEST_P(BlockTargetTest, ADiskOfNothingHasNoBlocks) {
  for (const auto& [name, layout] : all_layouts()) {
    SCOPED_TRACE(name);
    const std::string path = write(target_of(layout), {hole(0, 5 * block)});
    EXPECT_EQ(io::File(path, O_RDONLY).size(), layout(5 * block)->file_bytes());
    EXPECT_EQ(content_bytes_, 0U);
    EXPECT_TRUE(read(path) == content_);
  }
}

TEST_P(BlockTargetTest, OtherContentHasOtherNames) {
  for (const auto& [name, layout] : all_layouts()) {
    SCOPED_TRACE(name);
    ContentIdentity one;
    ContentIdentity other;
    one.add(0, 1);
    other.add(0, 2);
    const auto blocks = layout(5 * block);
    EXPECT_NE(blocks->finish(one), blocks->finish(other));
    EXPECT_EQ(blocks->finish(one), blocks->finish(one));
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, BlockTargetTest, io::engines_here(), io::engine_name);

TEST(VhdxNewImage, BlocksGrowWithTheDisk) {
  EXPECT_EQ(vhdx::usual_block_size(io::GiB), 2 * io::MiB);
  EXPECT_EQ(vhdx::usual_block_size(std::uint64_t{4} << 40), 2 * io::MiB);
  EXPECT_GT(vhdx::usual_block_size(std::uint64_t{8} << 40), 2 * io::MiB);
  EXPECT_TRUE(vhdx::fits(vhdx::largest_new_disk, vhdx::usual_block_size(vhdx::largest_new_disk)));
  EXPECT_FALSE(vhdx::fits(vhdx::largest_new_disk, io::MiB));
}

}  // namespace
}  // namespace formats
