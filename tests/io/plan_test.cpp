#include "io/plan.hpp"

#include <gtest/gtest.h>

#include "tests/io/pattern_source.hpp"
#include "tests/io/scripted_ring.hpp"

namespace io {
namespace {

using Ranges = std::vector<ByteRange>;
constexpr std::uint64_t plan_chunk = 1000;

// A plan asks for extents only, so the ring is never used.
class PlanTest : public testing::Test {
 protected:
  PatternSource source(std::vector<Extent> extents) { return {ring_, std::move(extents)}; }
  static std::vector<Extent> all_of(Plan& plan) {
    std::vector<Extent> all;
    while (const auto next = plan.next()) all.push_back(*next);
    return all;
  }

 private:
  ScriptedRing ring_{[](const Request&) { return 0; }};
};

constexpr auto data = ExtentKind::data;
constexpr auto hole = ExtentKind::hole;
constexpr auto zero = ExtentKind::zero;
constexpr auto skip = ExtentKind::skip;

TEST_F(PlanTest, DataComesInChunksAndTheLastIsWhatIsLeft) {
  auto image = source({{{0, 2500}, data}});
  Plan plan(image, plan_chunk, {{0, 2500}});
  EXPECT_EQ(all_of(plan),
            (std::vector<Extent>{{{0, 1000}, data}, {{1000, 1000}, data}, {{2000, 500}, data}}));
  EXPECT_FALSE(plan.next().has_value());
}

TEST_F(PlanTest, ZerosAndHolesAreOneStretch) {
  auto image = source({{{0, 1000}, data}, {{1000, 1500}, hole}, {{2500, 2500}, zero}});
  Plan plan(image, plan_chunk, {{0, 5000}});
  EXPECT_EQ(all_of(plan), (std::vector<Extent>{{{0, 1000}, data}, {{1000, 4000}, hole}}));
}

TEST_F(PlanTest, SkippedIsNotZero) {
  auto image = source({{{0, 2000}, skip}, {{2000, 2000}, hole}, {{4000, 1500}, skip}});
  Plan plan(image, plan_chunk, {{0, 5500}});
  EXPECT_EQ(all_of(plan),
            (std::vector<Extent>{{{0, 2000}, skip}, {{2000, 2000}, hole}, {{4000, 1500}, skip}}));
}

TEST_F(PlanTest, AChunkThatHoldsAnyDataIsDataAsAWhole) {
  auto image = source({{{0, 999}, hole}, {{999, 1}, data}, {{1000, 2000}, hole}});
  Plan plan(image, plan_chunk, {{0, 3000}});
  EXPECT_EQ(all_of(plan), (std::vector<Extent>{{{0, 1000}, data}, {{1000, 2000}, hole}}));
}

TEST_F(PlanTest, AChunkWhereSkipMeetsZerosIsRead) {
  auto image = source({{{0, 500}, skip}, {{500, 500}, hole}});
  Plan plan(image, plan_chunk, {{0, 1000}});
  EXPECT_EQ(all_of(plan), (std::vector<Extent>{{{0, 1000}, data}}));
}

TEST_F(PlanTest, LongZerosComeInPiecesSoThatProgressMoves) {
  class Sparse final : public Source {
   public:
    [[nodiscard]] const std::string& name() const override { return name_; }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return 5 * GiB; }
    [[nodiscard]] Extent extent_at(std::uint64_t at) override {
      return {range_between(at, 5 * GiB), ExtentKind::hole};
    }
    Task<std::size_t> read(ByteRange range, Buffer) override { co_return range.length; }

   private:
    std::string name_ = "sparse";
  } sparse;
  Plan plan(sparse, MiB, {{0, 5 * GiB}});
  std::uint64_t end = 0;
  while (const auto extent = plan.next()) {
    EXPECT_EQ(extent->range, (ByteRange{end, 64 * MiB}));
    EXPECT_EQ(extent->kind, hole);
    end = extent->range.end();
  }
  EXPECT_EQ(end, 5 * GiB);
}

TEST_F(PlanTest, OnlyWhatIsToDoIsHandedOut) {
  auto image = source({{{0, 3000}, data}, {{3000, 5000}, hole}, {{8000, 2000}, data}});
  Plan plan(image, plan_chunk, {{1000, 500}, {2000, 0}, {4000, 1500}, {9000, 1000}});
  EXPECT_EQ(all_of(plan),
            (std::vector<Extent>{{{1000, 500}, data}, {{4000, 1500}, hole}, {{9000, 1000}, data}}));
}

TEST_F(PlanTest, RestIsWhatWasNotHandedOut) {
  auto image = source({{{0, 10'000}, data}});
  Plan plan(image, plan_chunk, {{0, 2500}, {5000, 1000}});
  EXPECT_EQ(plan.rest(), (Ranges{{0, 2500}, {5000, 1000}}));
  plan.next();
  EXPECT_EQ(plan.position(), 1000U);
  EXPECT_EQ(plan.rest(), (Ranges{{1000, 1500}, {5000, 1000}}));
  plan.next();
  plan.next();
  EXPECT_EQ(plan.rest(), (Ranges{{5000, 1000}}));
  plan.next();
  EXPECT_TRUE(plan.rest().empty());
}

TEST_F(PlanTest, StopsWhereTheStreamEnded) {
  auto image = source({{{0, 10'000}, data}});
  Plan plan(image, plan_chunk, {{0, 4000}, {6000, 2000}});
  plan.next();
  plan.stop_at(1500);
  EXPECT_EQ(plan.rest(), (Ranges{{1000, 500}}));
  EXPECT_EQ(plan.next(), (Extent{{1000, 500}, data}));
  EXPECT_FALSE(plan.next().has_value());
}

TEST_F(PlanTest, NothingToDo) {
  auto image = source({});
  Plan plan(image, plan_chunk, {});
  EXPECT_FALSE(plan.next().has_value());
  EXPECT_TRUE(plan.rest().empty());
}

TEST(OnGrid, RangesGrowDownToTheGridAndJoin) {
  EXPECT_EQ(on_grid({{2500, 100}, {100, 50}}, 1000, 0), (Ranges{{0, 150}, {2000, 600}}));
  EXPECT_EQ(on_grid({{900, 150}, {1100, 10}}, 1000, 0), (Ranges{{0, 1110}}));
  EXPECT_EQ(on_grid({{0, 5000}, {1200, 10}}, 1000, 0), (Ranges{{0, 5000}}));
  EXPECT_EQ(on_grid({}, 1000, 0), Ranges{});
}

TEST(OnGrid, NothingBeforeTheBeginning) {
  EXPECT_EQ(on_grid({{100, 200}, {900, 1500}}, 1000, 1000), (Ranges{{1000, 1400}}));
  EXPECT_EQ(on_grid({{100, 200}}, 1000, 1000), Ranges{});
}

TEST(OnGrid, TotalLength) {
  EXPECT_EQ(total_length({}), 0U);
  EXPECT_EQ(total_length({{5, 10}, {100, 1}}), 11U);
}

}  // namespace
}  // namespace io
