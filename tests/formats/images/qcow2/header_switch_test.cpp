// A header that is replaced by one write of one sector; what is in use before that write stays
// where it is until then.
#include "formats/images/qcow2/header_switch.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/header_layout.hpp"
#include "formats/images/qcow2/header_writer.hpp"
#include "io/error.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::qcow2 {
namespace {

class Qcow2HeaderSwitch : public testing::Test {
 protected:
  void make(const CreateOptions& options) {
    cluster_size_ = options.geometry.cluster_size();
    const TablePlaces places{{cluster_size_}, 1, {2 * cluster_size_}, 1};
    file_.truncate(0);
    file_.truncate(8 * cluster_size_);
    file_.write_at(0, make_header(options, 1024, places));
  }
  [[nodiscard]] std::vector<std::byte> first_cluster() const {
    std::vector<std::byte> bytes(cluster_size_);
    file_.read_at(0, bytes);
    return bytes;
  }
  // As if the power had failed before the last write: the old first sector, and all else.
  void expect_old_one_is_whole(const std::vector<std::byte>& before) {
    auto now = first_cluster();
    std::copy_n(before.begin(), 512, now.begin());
    const Header old = parse_header(before, 8 * cluster_size_, "before");
    const Header mixed = parse_header(now, 8 * cluster_size_, "mixed");
    EXPECT_EQ(mixed.backing_file, old.backing_file);
    EXPECT_EQ(mixed.backing_format, old.backing_format);
    EXPECT_EQ(mixed.l1_offset, old.l1_offset);
  }

  io::TemporaryFolder folder_;
  io::File file_{folder_.path("image"), O_RDWR | O_CREAT};
  std::uint64_t cluster_size_ = 0;
};

TEST_F(Qcow2HeaderSwitch, FieldsChangeAndAllElseStays) {
  CreateOptions options;
  options.backing_file = "base";
  options.backing_format = "raw";
  make(options);
  const auto before = first_cluster();
  Header next = read_header(file_);
  next.l1_offset = {3 * cluster_size_};
  next.refcount_table_offset = {4 * cluster_size_};
  next.virtual_size = 512;
  write_header(file_, next);
  const Header now = read_header(file_);
  EXPECT_EQ(now.l1_offset.value, 3 * cluster_size_);
  EXPECT_EQ(now.refcount_table_offset.value, 4 * cluster_size_);
  EXPECT_EQ(now.virtual_size, 512U);
  const auto after = first_cluster();
  EXPECT_TRUE(std::equal(before.begin() + at::incompatible, before.end(),
                         after.begin() + at::incompatible));
}

TEST_F(Qcow2HeaderSwitch, ANameOfAnyLengthReplacesAnyOther) {
  for (const std::uint32_t bits : {9U, 12U, 16U}) {
    for (const std::uint32_t version : {2U, 3U}) {
      for (const std::size_t old_length : {0U, 4U, 300U, 1000U}) {
        for (const std::size_t new_length : {0U, 5U, 310U, 1023U}) {
          CreateOptions options;
          options.version = version;
          options.geometry.cluster_bits = bits;
          options.backing_file = std::string(old_length, 'a');
          options.backing_format = old_length == 0 ? "" : "raw";
          if (!header_fits(options)) continue;
          make(options);
          const auto before = first_cluster();
          Header next = read_header(file_);
          next.backing_file = std::string(new_length, 'b');
          next.backing_format = new_length == 0 ? "" : "qcow2";
          if (bits == 9 && new_length > 310) {
            EXPECT_THROW(write_header(file_, next), io::Error);
            EXPECT_EQ(first_cluster(), before);
            continue;
          }
          write_header(file_, next);
          const Header now = read_header(file_);
          EXPECT_EQ(now.backing_file, next.backing_file);
          EXPECT_EQ(now.backing_format, next.backing_format);
          EXPECT_EQ(now.header_bytes, version == 2 ? 72U : 112U);
          expect_old_one_is_whole(before);
        }
      }
    }
  }
}

TEST_F(Qcow2HeaderSwitch, ExtensionsThatAreNotKnownStay) {
  make({});
  auto bytes = first_cluster();
  store_big_endian<std::uint32_t>(bytes, 112, 0x12345678);
  store_big_endian<std::uint32_t>(bytes, 116, 3);
  bytes[120] = bytes[122] = std::byte{7};
  store_big_endian<std::uint64_t>(bytes, 128, 0);
  file_.write_at(0, bytes);
  Header next = read_header(file_);
  next.backing_file = "base";
  next.backing_format = "qcow2";
  next.bitmaps = BitmapDirectory{{3 * cluster_size_}, 40, 1};
  next.bitmaps_consistent = true;
  write_header(file_, next);
  const Header now = read_header(file_);
  EXPECT_EQ(now.bitmaps->offset.value, 3 * cluster_size_);
  EXPECT_EQ(now.bitmaps->bytes, 40U);
  EXPECT_EQ(now.bitmaps->count, 1U);
  EXPECT_TRUE(now.bitmaps_consistent);
  bytes = first_cluster();
  const std::uint64_t place = 112 + 16 + 32;  // behind the two that are known
  EXPECT_EQ(load_big_endian<std::uint32_t>(bytes, place), 0x12345678U);
  EXPECT_EQ(load_big_endian<std::uint32_t>(bytes, place + 4), 3U);
  EXPECT_EQ(bytes[place + 10], std::byte{7});
}

TEST_F(Qcow2HeaderSwitch, WhatLeavesNoRoomIsRefusedUnchanged) {
  make({});
  auto bytes = first_cluster();
  store_big_endian<std::uint32_t>(bytes, 112, 0x12345678);
  store_big_endian<std::uint32_t>(bytes, 116, 600);
  store_big_endian<std::uint64_t>(bytes, 720, 0);
  file_.write_at(0, bytes);
  Header next = read_header(file_);
  next.backing_file = "base";
  EXPECT_THROW(write_header(file_, next), io::Error);
  EXPECT_EQ(first_cluster(), bytes);
}

TEST_F(Qcow2HeaderSwitch, AutoclearFeaturesThatAreNotKnownAreCleared) {
  make({});
  auto bytes = first_cluster();
  store_big_endian<std::uint64_t>(bytes, at::autoclear, 0xf0);
  file_.write_at(0, bytes);
  write_header(file_, read_header(file_));
  EXPECT_EQ(load_big_endian<std::uint64_t>(first_cluster(), at::autoclear), 0U);
}

}  // namespace
}  // namespace formats::qcow2
