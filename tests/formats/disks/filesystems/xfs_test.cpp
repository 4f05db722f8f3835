#include "formats/disks/filesystems/xfs.hpp"

#include <gmock/gmock.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/log_record.hpp"
#include "formats/disks/filesystems/xfs/log_transactions.hpp"
#include "tests/formats/disks/filesystems/probe_testing.hpp"

namespace {

using formats::filesystems::probe_xfs;
using formats::filesystems::xfs::changes_superblock_only;
using formats::filesystems::xfs::is_unmount;
using formats::filesystems::xfs::LogRecord;
using testing::HasSubstr;
using testing::IsEmpty;

class XfsFixture : public testing::TestWithParam<const char*> {
 protected:
  tests::OverlayDisk disk_ = tests::fixture(std::string("xfs/") + GetParam());
};

TEST_P(XfsFixture, IsMapped) {
  const auto found = probe(probe_xfs, disk_);
  EXPECT_EQ(found.kept_because, "");
  EXPECT_EQ(found.type, "xfs");
  EXPECT_EQ(found.uuid, "11111111-2222-3333-4444-555555555555");
  EXPECT_EQ(found.size, 32 * io::MiB);
  EXPECT_GT(tests::length_of(found.free), 16 * io::MiB);
  EXPECT_LT(tests::length_of(found.free), 31 * io::MiB);
  EXPECT_FALSE(found.witnesses.empty());
}

TEST_P(XfsFixture, NeverCallsMoreFreeWhenABitFlips) {
  EXPECT_THAT(wrong_after_flips(probe_xfs, disk_, 61), IsEmpty());
}

TEST_P(XfsFixture, IsKeptWhenABlockOfTheLogIsOfAnotherCycle) {
  const auto witnesses = probe(probe_xfs, disk_).witnesses;
  constexpr std::array<std::byte, 4> other_cycle{std::byte{}, std::byte{}, std::byte{},
                                                 std::byte{77}};
  disk_.write(witnesses[0].end() - 512, other_cycle);
  const auto found = probe(probe_xfs, disk_);
  EXPECT_THAT(found.free, IsEmpty());
  EXPECT_THAT(found.kept_because, HasSubstr("log"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, XfsFixture,
                         testing::Values("v5", "rmap", "v4", "v4_512", "two_levels", "frozen",
                                         "dirty"),
                         [](const auto& kind) { return kind.param; });

TEST(XfsReplay, KeepsWhatItTouches) {
  auto disk = tests::fixture("xfs/dirty");
  const auto found = probe(probe_xfs, disk);
  EXPECT_TRUE(found.waits_for_replay);
  auto clean = tests::fixture("xfs/v5");
  EXPECT_FALSE(probe(probe_xfs, clean).waits_for_replay);
}

// --- transactions ---

using formats::filesystems::xfs::LogTransaction;
using formats::filesystems::xfs::LogTransactions;

// --- what a record of the log would change ---

enum Flags : std::uint8_t { starts = 1, commits = 2, continues = 4, unmounts = 0x20 };

void add_operation(LogRecord& record, std::uint8_t flags, std::vector<std::byte> region) {
  std::vector<std::byte> header(12);
  formats::store_big_endian<std::uint32_t>(header, 0, 0x1234);  // the transaction
  formats::store_big_endian(header, 4, static_cast<std::uint32_t>(region.size()));
  formats::store_big_endian(header, 9, flags);
  record.content.insert(record.content.end(), header.begin(), header.end());
  record.content.insert(record.content.end(), region.begin(), region.end());
  ++record.operations;
}

std::vector<std::byte> transaction_header() {
  std::vector<std::byte> region(16);
  formats::store_little_endian<std::uint32_t>(region, 0, 0x5452414e);
  return region;
}

std::vector<std::byte> item(std::uint16_t type, std::uint64_t block) {
  std::vector<std::byte> region(28);
  formats::store_little_endian(region, 0, type);
  formats::store_little_endian<std::uint16_t>(region, 2, 2);  // regions: this one and its data
  formats::store_little_endian(region, 8, block);
  return region;
}

LogRecord transaction(std::uint16_t type, std::uint64_t block) {
  LogRecord record;
  record.is_little_endian = true;
  add_operation(record, starts, {});
  add_operation(record, 0, transaction_header());
  add_operation(record, 0, item(type, block));
  add_operation(record, 0, std::vector<std::byte>(128));
  add_operation(record, commits, {});
  return record;
}

constexpr std::uint16_t buffer = 0x123c;
constexpr std::uint16_t inode = 0x123b;
constexpr std::uint16_t intent_to_free = 0x1236;

TEST(XfsLogRecord, ChangesTheSuperblockOnly) {
  EXPECT_TRUE(changes_superblock_only(transaction(buffer, 0)));
}

TEST(XfsLogRecord, ChangesMore) {
  EXPECT_FALSE(changes_superblock_only(transaction(buffer, 8)));
  EXPECT_FALSE(changes_superblock_only(transaction(inode, 0)));
  EXPECT_FALSE(changes_superblock_only(transaction(intent_to_free, 0)));
}

TEST(XfsLogRecord, CannotBeToldWhenItIsNotWhole) {
  LogRecord open = transaction(buffer, 0);
  --open.operations;
  EXPECT_FALSE(changes_superblock_only(open)) << "without its commit";

  LogRecord cut = transaction(buffer, 0);
  cut.content.resize(cut.content.size() - 13);
  EXPECT_FALSE(changes_superblock_only(cut));

  LogRecord continued;
  continued.is_little_endian = true;
  add_operation(continued, starts, {});
  add_operation(continued, 0, transaction_header());
  add_operation(continued, continues, item(buffer, 0));
  EXPECT_FALSE(changes_superblock_only(continued));

  LogRecord foreign = transaction(buffer, 0);
  foreign.is_little_endian = false;
  EXPECT_FALSE(changes_superblock_only(foreign));
}

TEST(XfsLogRecord, SaysThatItWasUnmounted) {
  LogRecord record;
  add_operation(record, unmounts, std::vector<std::byte>(8));
  EXPECT_TRUE(is_unmount(record));
  add_operation(record, 0, {});
  EXPECT_FALSE(is_unmount(record)) << "and something else";
  EXPECT_FALSE(is_unmount(transaction(buffer, 0)));
}

TEST(XfsLogTransactions, ArePutTogetherFromPieces) {
  enum : std::uint8_t { was_continued = 8, ends = 16 };
  std::vector<LogTransaction> committed;
  LogTransactions transactions([&](const LogTransaction& one) { committed.push_back(one); });
  LogRecord first;
  first.is_little_endian = true;
  first.cycle = 3;
  first.block = 7;
  add_operation(first, 0, item(buffer, 0));  // of a transaction that began before
  add_operation(first, starts, {});
  add_operation(first, 0, transaction_header());
  add_operation(first, 0, item(buffer, 8));
  add_operation(first, continues, std::vector<std::byte>(100, std::byte{1}));
  transactions.add(first);
  EXPECT_THAT(committed, IsEmpty());
  LogRecord second = first;
  second.content.clear();
  second.operations = 0;
  add_operation(second, was_continued | ends, std::vector<std::byte>(28, std::byte{2}));
  add_operation(second, commits, {});
  transactions.add(second);
  ASSERT_EQ(committed.size(), 1U);
  EXPECT_EQ(committed[0].lsn, std::uint64_t{3} << 32 | 7);
  ASSERT_EQ(committed[0].items.size(), 1U);
  ASSERT_EQ(committed[0].items[0].regions.size(), 2U);
  EXPECT_EQ(committed[0].items[0].regions[1].size(), 128U);
  EXPECT_EQ(committed[0].items[0].regions[1].back(), std::byte{2});
}

TEST(XfsLogTransactions, RefuseWhatIsCutOff) {
  LogTransactions transactions([](const LogTransaction&) {});
  LogRecord record = transaction(buffer, 8);
  record.content.resize(record.content.size() - 1);
  EXPECT_THROW(transactions.add(record), formats::filesystems::Doubt);
  LogRecord foreign = transaction(buffer, 8);
  foreign.is_little_endian = false;
  EXPECT_THROW(transactions.add(foreign), formats::filesystems::Doubt);
}

}  // namespace
