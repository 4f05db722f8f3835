#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/disks/partitions/relaid_disk.hpp"

namespace formats::partitions {
namespace {

using io::Extent;
using io::ExtentKind;
using io::KiB;
using io::MiB;
using testing::ElementsAre;

// Bytes that tell their place, with a hole and zeros; remembers what was read.
class CountedSource final : public io::Source {
 public:
  static constexpr std::uint64_t length = 8 * MiB;

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return length; }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override {
    if (offset < 3 * MiB) return {io::range_between(offset, 3 * MiB), ExtentKind::data};
    if (offset < 4 * MiB) return {io::range_between(offset, 4 * MiB), ExtentKind::zero};
    if (offset < 5 * MiB) return {io::range_between(offset, 5 * MiB), ExtentKind::hole};
    return {io::range_between(offset, length), ExtentKind::data};
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    EXPECT_LE(range.end(), length);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.bytes.data()) % io::buffer_alignment, 0U);
    EXPECT_GE(buffer.bytes.size(), io::align_up(range.length, io::buffer_alignment));
    reads.push_back(range);
    for (std::uint64_t at = 0; at < range.length; ++at)
      buffer.bytes[at] = byte_at(range.offset + at);
    // What lies behind is undefined, as O_DIRECT leaves it.
    const auto behind = buffer.bytes.subspan(range.length);
    std::fill_n(behind.begin(), std::min<std::size_t>(behind.size(), 4096), std::byte{0xee});
    co_return range.length;
  }
  static std::byte byte_at(std::uint64_t offset) {
    const bool zero = offset >= 3 * MiB && offset < 5 * MiB;
    return zero ? std::byte{0} : static_cast<std::byte>(1 | offset * 0x9e3779b97f4a7c15 >> 56);
  }

  std::vector<io::ByteRange> reads;

 private:
  std::string name_ = "old";
};

// Two neighbours that stay, one that moves by whole pages, one by an odd number of bytes.
Relayout odd_plan() {
  Relayout plan;
  plan.disk_size = 6 * MiB + 700;
  plan.carried = {{{0, MiB}, 0},
                  {{2 * MiB, 3 * MiB - 1000}, MiB},
                  {{6 * MiB + 77, 1000}, 4 * MiB + 10},
                  {{7 * MiB, MiB}, 5 * MiB + 700}};
  plan.patches = {{100, std::vector<std::byte>(10, std::byte{0xaa})},
                  {4 * MiB + 5000, std::vector<std::byte>(512, std::byte{0xbb})}};
  return plan;
}

std::vector<std::byte> what_it_shows(const Relayout& plan) {
  std::vector<std::byte> all(plan.disk_size);
  for (const CarriedRange& each : plan.carried) {
    for (std::uint64_t at = 0; at < each.from.length; ++at) {
      all[each.to + at] = CountedSource::byte_at(each.from.offset + at);
    }
  }
  for (const io::Patch& patch : plan.patches) {
    std::copy(patch.bytes.begin(), patch.bytes.end(),
              all.begin() + static_cast<std::ptrdiff_t>(patch.offset));
  }
  return all;
}

TEST(RelaidSource, ShowsTheSameBytesHoweverTheyAreRead) {
  const Relayout plan = odd_plan();
  const auto expected = what_it_shows(plan);
  TableDisk any(4096);
  io::Ring& ring = any.view().ring();
  for (const std::uint64_t step : {MiB, 4 * KiB, 64 * KiB + 512, std::uint64_t{99'991}, 8 * MiB}) {
    CountedSource old;
    const auto source = relaid_source(old, plan);
    EXPECT_EQ(*source->size(), plan.disk_size);
    EXPECT_TRUE(all_bytes(ring, *source, step) == expected) << step;
  }
}

TEST(RelaidSource, AChunkOfAMovedPartitionIsOneRead) {
  CountedSource old;
  const auto source = relaid_source(old, odd_plan());
  TableDisk any(4096);
  io::AlignedMemory memory(MiB);
  (void)io::run_task(any.view().ring(), source->read({2 * MiB, MiB}, memory.buffer()));
  EXPECT_THAT(old.reads, ElementsAre(io::ByteRange{3 * MiB, MiB}));
  old.reads.clear();
  (void)io::run_task(any.view().ring(), source->read({3 * MiB, MiB}, memory.buffer()));
  EXPECT_THAT(old.reads, ElementsAre(io::ByteRange{4 * MiB, MiB - 1000}));
}

TEST(RelaidSource, ExtentsAreTheOldDisksInNewPlaces) {
  CountedSource old;
  const auto source = relaid_source(old, odd_plan());
  const auto range = [](std::uint64_t begin, std::uint64_t end) {
    return io::range_between(begin, end);
  };
  EXPECT_EQ(source->extent_at(200), (Extent{range(200, MiB), ExtentKind::data}));
  EXPECT_EQ(source->extent_at(MiB), (Extent{range(MiB, 2 * MiB), ExtentKind::data}));
  EXPECT_EQ(source->extent_at(2 * MiB), (Extent{range(2 * MiB, 3 * MiB), ExtentKind::zero}));
  EXPECT_EQ(source->extent_at(3 * MiB), (Extent{range(3 * MiB, 4 * MiB - 1000), ExtentKind::hole}));
  EXPECT_EQ(source->extent_at(4 * MiB - 1000),
            (Extent{range(4 * MiB - 1000, 4 * MiB + 10), ExtentKind::hole}));
  EXPECT_EQ(source->extent_at(4 * MiB + 10).kind, ExtentKind::data);
  EXPECT_EQ(source->extent_at(4 * MiB + 1010).range.end(), 4 * MiB + 5000);
  EXPECT_EQ(source->extent_at(4 * MiB + 5000), (Extent{{4 * MiB + 5000, 512}, ExtentKind::data}));
  EXPECT_EQ(source->extent_at(4 * MiB + 5512).kind, ExtentKind::hole);
  EXPECT_EQ(source->extent_at(6 * MiB), (Extent{{6 * MiB, 700}, ExtentKind::data}));
}

TEST(RelaidSource, ExtentsCoverItOnceAndZerosAreZeros) {
  const Relayout plan = odd_plan();
  const auto expected = what_it_shows(plan);
  CountedSource old;
  const auto source = relaid_source(old, plan);
  for (std::uint64_t at = 0; at < plan.disk_size;) {
    const Extent extent = source->extent_at(at);
    ASSERT_EQ(extent.range.offset, at);
    ASSERT_FALSE(extent.range.empty());
    if (extent.reads_as_zero()) {
      EXPECT_TRUE(is_zero(bytes_of(expected, at, extent.range.length)));
    }
    at = extent.range.end();
    ASSERT_LE(at, plan.disk_size);
  }
}

}  // namespace
}  // namespace formats::partitions
