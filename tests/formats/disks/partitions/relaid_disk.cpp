#include "tests/formats/disks/partitions/relaid_disk.hpp"

#include "io/range_map.hpp"

namespace formats::partitions {
namespace {

const Partition* partition_of(const Layout& layout, unsigned number) {
  for (const Partition& partition : layout.partitions) {
    if (partition.number == number) return &partition;
  }
  return nullptr;
}

std::vector<unsigned> order_on_disk(const Layout& layout) {
  std::vector<const Partition*> all;
  for (const Partition& partition : layout.partitions) all.push_back(&partition);
  std::sort(all.begin(), all.end(), [](const Partition* a, const Partition* b) {
    return a->range.offset < b->range.offset;
  });
  std::vector<unsigned> numbers;
  for (const Partition* partition : all) numbers.push_back(partition->number);
  return numbers;
}

void expect_same_partition(const Partition& old, const Partition& now) {
  EXPECT_EQ(now.logical, old.logical);
  EXPECT_EQ(now.bootable, old.bootable);
  EXPECT_EQ(now.mbr_type, old.mbr_type);
  EXPECT_EQ(now.type, old.type);
  EXPECT_EQ(now.id, old.id);
  EXPECT_EQ(now.attributes, old.attributes);
  EXPECT_EQ(now.name, old.name);
}

void expect_healthy_table(const Layout& layout) {
  EXPECT_TRUE(layout.trusted);
  EXPECT_TRUE(layout.problems.empty());
  for (const Partition& partition : layout.partitions) EXPECT_TRUE(partition.sound);
  if (!layout.gpt) return;
  EXPECT_TRUE(layout.primary_valid);
  EXPECT_TRUE(layout.backup_valid);
  EXPECT_EQ(layout.usable.end() + (layout.gpt->array_blocks() + 1) * layout.sector_size,
            layout.disk_size);
}

void expect_disjoint_patches(const Relayout& plan) {
  std::vector<io::ByteRange> ranges;
  for (const io::Patch& patch : plan.patches) ranges.push_back(patch.range());
  std::sort(ranges.begin(), ranges.end(),
            [](const io::ByteRange& a, const io::ByteRange& b) { return a.offset < b.offset; });
  std::uint64_t end = 0;
  for (const io::ByteRange& range : ranges) {
    EXPECT_GE(range.offset, end);
    end = range.end();
  }
  EXPECT_LE(end, plan.disk_size);
}

void expect_right_place(const Placement& place, const Partition& old, const Partition& now,
                        const std::vector<PartitionChange>& changes,
                        const RelayoutOptions& options) {
  EXPECT_EQ(old.range, (io::ByteRange{place.old_start, place.old_length}));
  EXPECT_EQ(now.range, (io::ByteRange{place.new_start, place.new_length}));
  EXPECT_LE(place.new_start, place.old_start);
  EXPECT_TRUE(!place.moved() || place.new_start % options.alignment == 0);
  EXPECT_TRUE(!place.moved() || place.why_not_moved.empty());
  std::uint64_t asked = old.range.length;
  for (const PartitionChange& change : changes) {
    if (change.number != place.number) continue;
    asked = change.length;
    EXPECT_TRUE(change.may_move || !place.moved());
  }
  EXPECT_GE(place.new_length, asked);
  EXPECT_LT(place.new_length, asked + 4096);
}

// Byte for byte, except for boot sectors that know their place, which these disks have none of.
void expect_right_content(const TableDisk& before, const TableDisk& after, const Placement& place,
                          Carry carry) {
  const auto now = bytes_of(after.bytes(), place.new_start, place.new_length);
  if (carry == Carry::nothing) {
    EXPECT_TRUE(is_zero(now)) << place.number;
  } else {
    EXPECT_TRUE(now == bytes_of(before.bytes(), place.old_start, place.new_length)) << place.number;
  }
}

// What lies behind the first partition and in none, nor in a table, is zero.
void expect_zeros_between(const TableDisk& after, const Layout& layout, const Relayout& plan) {
  io::RangeMap<bool> owned(layout.disk_size, false);
  std::uint64_t first = layout.disk_size;
  for (const Partition& partition : layout.partitions) {
    owned.set(partition.range, true);
    first = std::min(first, partition.range.offset);
  }
  owned.set({0, first}, true);
  for (const io::Patch& patch : plan.patches) owned.set(patch.range(), true);
  for (const auto& entry : owned) {
    if (entry.value) continue;
    EXPECT_TRUE(is_zero(bytes_of(after.bytes(), entry.range.offset, entry.range.length)));
  }
}

}  // namespace

void expect_right(TableDisk& before, const std::vector<PartitionChange>& changes,
                  const RelayoutOptions& options, const LayoutOptions& how) {
  Relayout plan;
  TableDisk after = relaid(before, changes, options, plan, how);
  const Layout old = before.layout(how);
  const Layout now = after.layout(how);
  expect_healthy_table(now);
  expect_disjoint_patches(plan);
  EXPECT_EQ(now.id(), old.id());
  EXPECT_EQ(now.kind, old.kind);
  EXPECT_EQ(order_on_disk(now), order_on_disk(old));
  EXPECT_EQ(after.bytes().size(), plan.disk_size);
  EXPECT_LE(plan.disk_size, old.disk_size);
  EXPECT_TRUE(plan.disk_size % options.alignment == 0 || plan.disk_size == old.disk_size);
  EXPECT_TRUE(bytes_of(after.bytes(), 0, 446) == bytes_of(before.bytes(), 0, 446));
  const unsigned first = order_on_disk(old).front();
  ASSERT_EQ(plan.placements.size(), old.partitions.size());
  for (std::size_t index = 0; index < plan.placements.size(); ++index) {
    const Placement& place = plan.placements[index];
    const Partition* here = partition_of(now, place.number);
    ASSERT_NE(here, nullptr);
    ASSERT_EQ(place.number, old.partitions[index].number);
    expect_same_partition(old.partitions[index], *here);
    expect_right_place(place, old.partitions[index], *here, changes, options);
    EXPECT_TRUE(place.number != first || !place.moved());
    EXPECT_FALSE(options.windows_mbr && old.kind == TableKind::mbr && place.moved());
    Carry carry = Carry::all;
    for (const PartitionChange& change : changes) {
      if (change.number == place.number) carry = change.carry;
    }
    expect_right_content(before, after, place, carry);
  }
  expect_zeros_between(after, now, plan);
}

}  // namespace formats::partitions
