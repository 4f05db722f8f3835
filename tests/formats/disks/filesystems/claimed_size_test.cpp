#include "formats/disks/filesystems/claimed_size.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"
#include "io/memory_source.hpp"

namespace formats::filesystems {
namespace {

class ClaimedSize : public testing::Test {
 protected:
  void put(std::size_t offset, std::string_view text) {
    std::memcpy(disk.bytes().data() + offset, text.data(), text.size());
  }
  template <typename Number>
  void put_number(std::size_t offset, Number number) {
    std::memcpy(disk.bytes().data() + offset, &number, sizeof number);
  }
  std::optional<std::uint64_t> claimed(std::string_view type) {
    DiskView view(*made.ring, disk);
    return claimed_size(view, type);
  }

  io::MadeRing made = io::make_ring({});
  io::MemorySource disk{"disk", io::AlignedMemory(io::MiB), io::MiB};
};

// virt-resize asks statvfs, which leaves out ext4's own metadata, and cuts partitions too short.
TEST_F(ClaimedSize, OfExt4CountsAllBlocks) {
  put(1024 + 0x38, "\x53\xEF");
  put_number<std::uint32_t>(1024 + 0x18, 2);
  put_number<std::uint32_t>(1024 + 4, 98304);
  EXPECT_EQ(claimed("ext4"), 384 * io::MiB);
}

TEST_F(ClaimedSize, OfNtfsHasTheBackupOfTheBootSector) {
  put(3, "NTFS    ");
  put_number<std::uint16_t>(0x0B, 512);
  put_number<std::uint64_t>(0x28, 2047);
  EXPECT_EQ(claimed("ntfs"), io::MiB);
}

TEST_F(ClaimedSize, OfSwapHasItsLastPage) {
  put(4096 - 10, "SWAPSPACE2");
  put_number<std::uint32_t>(1028, 99);
  EXPECT_EQ(claimed("swap"), 100 * 4096U);
}

TEST_F(ClaimedSize, IsAnErrorWhereTheFileSystemIsGone) {
  EXPECT_THROW((void)claimed("ext4"), io::Error);
  EXPECT_THROW((void)claimed("swap"), io::Error);
}

TEST_F(ClaimedSize, IsUnknownForOtherTypes) { EXPECT_EQ(claimed("crypto_LUKS"), std::nullopt); }

}  // namespace
}  // namespace formats::filesystems
