// The header of a qcow2 image: what is written is understood, and what breaks a rule is refused.
#include "formats/images/qcow2/header.hpp"

#include <gtest/gtest.h>

#include <array>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/header_layout.hpp"
#include "formats/images/qcow2/header_writer.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t cluster = 64 * io::KiB;
constexpr std::uint64_t disk = 10 * io::MiB;
constexpr std::uint64_t file_size = 4 * cluster;

class Qcow2Header : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::byte> made() const {
    return make_header(options_, disk, {HostOffset{cluster}, 1, HostOffset{2 * cluster}, 1});
  }
  template <class Word>
  static std::vector<std::byte> with(std::vector<std::byte> bytes, std::size_t at, Word value) {
    store_big_endian<Word>(bytes, at, value);
    return bytes;
  }
  static Header parse(const std::vector<std::byte>& bytes, std::uint64_t size = file_size) {
    return parse_header(bytes, size, "image");
  }
  static void expect_refused(const std::vector<std::byte>& bytes, io::ErrorKind kind,
                             std::uint64_t size = file_size) {
    try {
      (void)parse(bytes, size);
      ADD_FAILURE() << "was taken";
    } catch (const io::Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_EQ(error.path(), "image");
    }
  }

  CreateOptions options_;
};

TEST_F(Qcow2Header, WhatIsWrittenIsUnderstood) {
  options_.backing_file = "base.img";
  options_.backing_format = "raw";
  options_.compression = Compression::zstd;
  options_.lazy_refcounts = true;
  const Header header = parse(made());
  EXPECT_EQ(header.version, 3U);
  EXPECT_EQ(header.geometry.cluster_size(), cluster);
  EXPECT_EQ(header.virtual_size, disk);
  EXPECT_EQ(header.compression, Compression::zstd);
  EXPECT_EQ(header.refcount_bits, 16U);
  EXPECT_EQ(header.l1_offset.value, cluster);
  EXPECT_EQ(header.l1_entries, 1U);
  EXPECT_EQ(header.refcount_table_offset.value, 2 * cluster);
  EXPECT_EQ(header.backing_file, "base.img");
  EXPECT_EQ(header.backing_format, "raw");
  EXPECT_TRUE(header.lazy_refcounts);
  EXPECT_FALSE(header.dirty);
  EXPECT_TRUE(has_magic(made()));
}

TEST_F(Qcow2Header, TheOldVersionHasNoFeatures) {
  options_.version = 2;
  const Header header = parse(made());
  EXPECT_EQ(header.version, 2U);
  EXPECT_EQ(header.header_bytes, v2_header_bytes);
  EXPECT_EQ(header.virtual_size, disk);
}

TEST_F(Qcow2Header, EachFieldIsChecked) {
  using io::ErrorKind;
  expect_refused(with<std::uint32_t>(made(), 0, 0x12345678), ErrorKind::format);
  expect_refused(with<std::uint32_t>(made(), at::version, 4), ErrorKind::format);
  expect_refused(with<std::uint32_t>(made(), at::cluster_bits, 8), ErrorKind::format);
  expect_refused(with<std::uint32_t>(made(), at::cluster_bits, 22), ErrorKind::format);
  expect_refused(with<std::uint32_t>(made(), at::crypt_method, 3), ErrorKind::unsupported);
  expect_refused(with<std::uint32_t>(made(), at::refcount_order, 7), ErrorKind::format);
  expect_refused(with<std::uint32_t>(made(), at::l1_size, 0), ErrorKind::format);
  expect_refused(with<std::uint64_t>(made(), at::incompatible, std::uint64_t{1} << 40),
                 ErrorKind::unsupported);
}

TEST_F(Qcow2Header, TablesLieAlignedInsideTheFile) {
  const std::array past_the_end = {file_size, ~std::uint64_t{0} - cluster + 1,
                                   std::uint64_t{1} << 62};
  for (const std::size_t place : {at::l1_offset, at::refcount_table_offset}) {
    expect_refused(with<std::uint64_t>(made(), place, cluster + 512), io::ErrorKind::format);
  }
  for (const std::uint64_t offset : past_the_end) {
    expect_refused(with<std::uint64_t>(made(), at::l1_offset, offset), io::ErrorKind::format);
    // Reading needs no refcounts; check tells that they are lost.
    const Header header = parse(with<std::uint64_t>(made(), at::refcount_table_offset, offset));
    EXPECT_TRUE(header.refcount_table_lost);
    EXPECT_EQ(header.refcount_table_clusters, 0U);
  }
}

TEST_F(Qcow2Header, AFileThatEndsInsideItsHeaderIsRefused) {
  const auto whole = made();
  for (const std::size_t length : {std::size_t{4}, std::size_t{71}, std::size_t{103}}) {
    const std::vector<std::byte> cut(whole.begin(),
                                     whole.begin() + static_cast<std::ptrdiff_t>(length));
    expect_refused(cut, io::ErrorKind::format, length);
  }
}

TEST_F(Qcow2Header, TheNameOfTheBackingFileLiesInTheFirstCluster) {
  options_.backing_file = "base.img";
  options_.backing_format = "raw";
  for (const std::uint64_t offset : {cluster - 4, cluster, ~std::uint64_t{0} - 2}) {
    expect_refused(with<std::uint64_t>(made(), at::backing_offset, offset), io::ErrorKind::format);
  }
  expect_refused(with<std::uint32_t>(made(), at::backing_size, 2000), io::ErrorKind::format);
}

TEST_F(Qcow2Header, SaysThatAnImageIsDirtyOrCorrupt) {
  EXPECT_TRUE(parse(with<std::uint64_t>(made(), at::incompatible, incompatible_bit::dirty)).dirty);
  EXPECT_TRUE(
      parse(with<std::uint64_t>(made(), at::incompatible, incompatible_bit::corrupt)).corrupt);
}

}  // namespace
}  // namespace formats::qcow2
