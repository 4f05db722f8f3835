#include "formats/disks/filesystems/ntfs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ntfs/runs.hpp"
#include "tests/formats/disks/filesystems/ntfs_disk.hpp"

namespace formats::filesystems::ntfs {
namespace {

using testing::HasSubstr;

constexpr auto data = AttributeType::data;

FileSystem probed(NtfsDisk& disk) {
  DiskView view(shared_ring(), disk.disk());
  auto found = probe_ntfs(view);
  EXPECT_TRUE(found.has_value());
  return found.value_or(FileSystem{});
}

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(Ntfs, TellsWhatIsFree) {
  NtfsDisk disk;
  const FileSystem found = probed(disk);
  EXPECT_EQ(found.kept_because, "");
  EXPECT_EQ(found.type, "ntfs");
  EXPECT_EQ(found.uuid, "0000000000000ABC");
  EXPECT_EQ(found.size, (1000 * 8 + 1) * 512u);
  const std::vector<io::ByteRange> expected{{1 * 4096, 3 * 4096}, {11 * 4096, 989 * 4096}};
  EXPECT_EQ(found.free, expected);
}

TEST(Ntfs, IsNotFoundWithoutItsName) {
  NtfsDisk disk;
  disk.disk().put_text(3, "MTFS    ");
  DiskView view(shared_ring(), disk.disk());
  EXPECT_FALSE(probe_ntfs(view).has_value());
}

TEST(Ntfs, ClustersCanHaveUpTo2MiB) {
  NtfsDisk disk;
  disk.disk().put(40, std::uint64_t{1} << 20);
  disk.disk().put(13, std::uint8_t{256 - 12});  // of 512 bytes: 2 MiB
  EXPECT_EQ(probed(disk).block_size, 2u << 20);
  disk.disk().put(13, std::uint8_t{256 - 13});
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("boot sector"));
}

TEST(Ntfs, AFileThatUsesAFreeClusterIsADoubt) {
  NtfsDisk disk;
  disk.put_record(12, record({in_clusters(data, 0, 3, bytes_of({0x11, 3, 200}), 5000)}));
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("record 12"));
}

TEST(Ntfs, ARecordThatIsNoneIsADoubt) {
  NtfsDisk disk;
  disk.disk().put_text(4 * 4096 + 12 * 1024, "BAAD");
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("record 12"));
}

// --- lists of attributes ---

// A second piece of the MFT, told in record 15, lies in cluster 100; record 18 is in it.
NtfsDisk with_two_pieces_of_mft(std::uint64_t base_of_15 = 0) {
  NtfsDisk disk;
  Bytes first = in_clusters(data, 0, 4, bytes_of({0x11, 4, 4}), 20480);
  disk.put_record(0, record({resident(AttributeType::attribute_list,
                                      joined({reference(data, 0, 0), reference(data, 4, 15)})),
                             first}));
  disk.put_record(15, record({in_clusters(data, 4, 1, bytes_of({0x11, 1, 100}), 0)}, base_of_15));
  disk.disk().write(100 * 4096 + 2 * 1024,
                    record({in_clusters(data, 0, 1, bytes_of({0x21, 1, 0xf4, 1}), 4096)}));
  disk.set_used(100);
  return disk;
}

TEST(NtfsAttributeList, LeadsToTheRestOfTheMft) {
  NtfsDisk disk = with_two_pieces_of_mft();
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("record 18"));  // uses cluster 500
  disk.set_used(500);
  EXPECT_EQ(probed(disk).kept_because, "");
}

TEST(NtfsAttributeList, LeadsToRecordsOfTheSameFileOnly) {
  NtfsDisk disk = with_two_pieces_of_mft(9);
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("list of attributes"));
}

TEST(NtfsAttributeList, MayLieInClusters) {
  NtfsDisk disk;
  const Bytes list = joined({reference(data, 0, 14), reference(data, 1, 15)});
  disk.put_record(6, record({in_clusters(AttributeType::attribute_list, 0, 1,
                                         bytes_of({0x11, 1, 50}), list.size())}));
  disk.disk().write(50 * 4096, list);
  disk.put_record(14, record({in_clusters(data, 0, 1, bytes_of({0x11, 1, 10}), 125)}, 6));
  disk.put_record(15, record({in_clusters(data, 1, 1, bytes_of({0x11, 1, 51}), 0)}, 6));
  disk.set_used(50);
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("record 15"));  // cluster 51 is not in use
  disk.set_used(51);
  EXPECT_EQ(probed(disk).kept_because, "");
}

TEST(NtfsAttributeList, ThatIsBrokenIsADoubt) {
  const Bytes gap = joined({reference(data, 0, 6), reference(data, 2, 15)});
  Bytes empty_entry = reference(data, 0, 6);
  put(empty_entry, 4, std::uint16_t{0});
  Bytes long_entry = reference(data, 0, 6);
  put(long_entry, 4, std::uint16_t{200});
  Bytes old_sequence = reference(data, 0, 6);
  old_sequence[22] = std::byte{9};
  for (const Bytes& list : {gap, empty_entry, long_entry, old_sequence, Bytes(7), Bytes{}}) {
    NtfsDisk disk;
    disk.put_record(6, record({resident(AttributeType::attribute_list, list),
                               in_clusters(data, 0, 1, bytes_of({0x11, 1, 10}), 125)}));
    EXPECT_NE(probed(disk).kept_because, "");
  }
}

TEST(NtfsAttributeList, OfTheMftMustNotLeadToARecordThatIsNotKnownYet) {
  NtfsDisk disk = with_two_pieces_of_mft();
  disk.put_record(0, record({resident(AttributeType::attribute_list,
                                      joined({reference(data, 0, 0), reference(data, 4, 18)})),
                             in_clusters(data, 0, 4, bytes_of({0x11, 4, 4}), 20480)}));
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("no record 18"));
}

// --- records ---

// What a record with this attribute leads to; empty when it is read.
std::string doubt_about(Bytes bytes, const std::function<void(Bytes&)>& change) {
  change(bytes);
  try {
    const Record parsed(std::move(bytes), 7);
    return "";
  } catch (const Doubt& doubt) {
    return doubt.because;
  }
}

TEST(NtfsRecord, GivesItsAttributes) {
  const Record parsed(record({resident(AttributeType::volume_name, bytes_of({'a', 0})),
                              in_clusters(data, 0, 2, bytes_of({0x11, 2, 9}), 5000)}),
                      7);
  ASSERT_EQ(parsed.attributes().size(), 2u);
  EXPECT_EQ(parsed.attributes()[0].value.size(), 2u);
  EXPECT_EQ(parsed.find(data), &parsed.attributes()[1]);
  EXPECT_EQ(parsed.find(data)->size, 5000u);
  EXPECT_EQ(parsed.find(AttributeType::file_name), nullptr);
}

TEST(NtfsRecord, PutsBackWhatTheFixUpsTookThePlaceOf) {
  Bytes value(600);
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<std::byte>(i % 251);
  const Record parsed(record({resident(data, value)}), 7);
  EXPECT_TRUE(std::equal(value.begin(), value.end(), parsed.attributes()[0].value.begin()));
}

TEST(NtfsRecord, NothingReachesOutOfIt) {
  const Bytes small = record({resident(AttributeType::volume_name, bytes_of({'a', 0}))});
  const Bytes mapped = record({in_clusters(data, 0, 2, bytes_of({0x11, 2, 9}), 5000)});
  const auto u16 = [](std::size_t at, std::uint16_t v) { return [=](Bytes& b) { put(b, at, v); }; };
  const auto u32 = [](std::size_t at, std::uint32_t v) { return [=](Bytes& b) { put(b, at, v); }; };
  EXPECT_EQ(doubt_about(small, [](Bytes&) {}), "");
  EXPECT_NE(doubt_about(small, u16(4, 508)), "");     // fix-ups past their own place
  EXPECT_NE(doubt_about(small, u16(6, 4)), "");       // one more than there are
  EXPECT_NE(doubt_about(small, u16(510, 0)), "");     // torn
  EXPECT_NE(doubt_about(small, u16(1022, 0)), "");    // torn
  EXPECT_NE(doubt_about(small, u16(20, 2000)), "");   // first attribute
  EXPECT_NE(doubt_about(small, u16(20, 8)), "");      // in the header
  EXPECT_NE(doubt_about(small, u32(24, 1025)), "");   // bytes in use
  EXPECT_NE(doubt_about(small, u32(24, 60)), "");     // no end mark
  EXPECT_NE(doubt_about(small, u32(28, 512)), "");    // size
  EXPECT_NE(doubt_about(small, u32(56 + 4, 0)), "");  // attribute's length
  EXPECT_NE(doubt_about(small, u32(56 + 4, 8000)), "");
  EXPECT_NE(doubt_about(small, u32(56 + 4, 0xfffffff8)), "");
  EXPECT_NE(doubt_about(small, u32(56 + 16, 9)), "");  // value's length
  EXPECT_NE(doubt_about(small, u32(56 + 16, 0xffffffff)), "");
  EXPECT_NE(doubt_about(small, u16(56 + 20, 33)), "");  // value's place
  EXPECT_NE(doubt_about(small, u16(56 + 20, 0xffff)), "");
  EXPECT_NE(doubt_about(small, u16(56 + 8, 2)), "");     // of no known form
  EXPECT_NE(doubt_about(small, u16(56 + 8, 1)), "");     // too short for runs
  EXPECT_NE(doubt_about(mapped, u16(56 + 32, 73)), "");  // runs' place
  EXPECT_NE(doubt_about(mapped, u16(56 + 32, 8)), "");
}

// --- runs ---

Geometry thousand_clusters() {
  Geometry geometry;
  geometry.cluster_size = 4096;
  geometry.clusters = 1000;
  return geometry;
}

using Runs = std::vector<Run>;

Runs decoded(const Bytes& bytes, std::uint64_t count, Vcn lowest = 0) {
  Attribute attribute;
  attribute.resident = false;
  attribute.runs = bytes;
  attribute.lowest = lowest;
  attribute.highest = lowest + count - 1;
  return decode_runs(attribute, thousand_clusters(), 7);
}

TEST(NtfsRuns, AreRelativeToTheOneBefore) {
  const Bytes bytes = bytes_of({0x11, 3, 100, 0x21, 2, 0x2c, 1, 0x11, 1, 0xf6, 0});
  EXPECT_EQ(decoded(bytes, 6), (Runs{{100, 3}, {400, 2}, {390, 1}}));
}

TEST(NtfsRuns, WithoutAPlaceAreHoles) {
  const Bytes bytes = bytes_of({0x11, 3, 100, 0x02, 0, 2, 0x11, 1, 1, 0});
  EXPECT_EQ(decoded(bytes, 3 + 512 + 1), (Runs{{100, 3}, {std::nullopt, 512}, {101, 1}}));
}

TEST(NtfsRuns, OfAnEmptyAttributeAreNone) { EXPECT_TRUE(decoded(bytes_of({0}), 0).empty()); }

TEST(NtfsRuns, ThatAreBrokenAreADoubt) {
  EXPECT_NO_THROW(decoded(bytes_of({0x21, 1, 0xe7, 3, 0}), 1));      // the last cluster
  EXPECT_THROW(decoded(bytes_of({0x21, 2, 0xe7, 3, 0}), 2), Doubt);  // and one more
  EXPECT_THROW(decoded(bytes_of({0x11, 1, 0x80, 0}), 1), Doubt);     // before the first one
  EXPECT_THROW(decoded(bytes_of({0x11, 0, 5, 0}), 0), Doubt);        // of no length
  EXPECT_THROW(decoded(bytes_of({0x10, 5, 0}), 0), Doubt);           // the same
  EXPECT_THROW(decoded(bytes_of({0x11, 3, 100}), 3), Doubt);         // without an end
  EXPECT_THROW(decoded(bytes_of({0x21, 3, 100}), 3), Doubt);         // cut
  EXPECT_THROW(decoded(bytes_of({0x19, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0}), 1), Doubt);
  EXPECT_THROW(decoded(bytes_of({0x91, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0}), 1), Doubt);
  EXPECT_THROW(decoded({}, 0), Doubt);
  EXPECT_THROW(decoded(bytes_of({0x11, 3, 100, 0}), 4), Doubt);           // other than told
  EXPECT_THROW(decoded(bytes_of({0x11, 3, 100, 0}), 3, ~Vcn{0}), Doubt);  // told to be at -1
  EXPECT_THROW(decoded(bytes_of({0x08, 255, 255, 255, 255, 255, 255, 255, 255, 0}), 1), Doubt);
}

}  // namespace
}  // namespace formats::filesystems::ntfs
