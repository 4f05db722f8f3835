#include "io/comparer.hpp"

#include <cstring>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/error.hpp"
#include "tests/io/recording_observer.hpp"

namespace io {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Content in memory; its zeros are holes, in blocks of 4 KiB.
class MemorySource final : public Source {
 public:
  explicit MemorySource(std::size_t size) : content_(size, '\0') {}

  void put(std::size_t offset, std::string_view text) {
    std::memcpy(&content_.at(offset), text.data(), text.size());
  }
  void fail_at(std::uint64_t offset) { bad_ = offset; }
  [[nodiscard]] std::size_t bytes_read() const { return bytes_read_; }

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return content_.size(); }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override {
    const ByteRange rest = range_between(
        offset, std::min<std::uint64_t>(align_down(offset, 4096) + 4096, content_.size()));
    const std::string_view block = std::string_view(content_).substr(rest.offset, rest.length);
    const bool zero = block.find_first_not_of('\0') == std::string_view::npos;
    return {rest, zero ? ExtentKind::hole : ExtentKind::data};
  }
  Task<std::size_t> read(ByteRange range, Buffer buffer) override {
    if (range.contains(bad_)) throw Error::system("read", name_, EIO, range);
    std::memcpy(buffer.bytes.data(), &content_[range.offset], range.length);
    bytes_read_ += range.length;
    co_return range.length;
  }

 private:
  std::string name_ = "memory";
  std::string content_;
  std::uint64_t bad_ = ~std::uint64_t{0};
  std::size_t bytes_read_ = 0;
};

class ComparerTest : public testing::Test {
 protected:
  Comparison compare(Source& a, Source& b) {
    return Comparer(*made_.ring, a, b, options_, observer_, stop_).run();
  }

  MadeRing made_ = make_ring({.engine = Engine::threads, .threads = 2});
  CompareOptions options_{.chunk_size = 64 * KiB, .lanes = 3};
  RecordingObserver observer_;
  StopFlag stop_{0};
};

TEST_F(ComparerTest, ReadsNothingWhereBothAreHoles) {
  MemorySource a(10 * MiB);
  MemorySource b(10 * MiB);
  EXPECT_THAT(compare(a, b).differences, IsEmpty());
  EXPECT_EQ(a.bytes_read() + b.bytes_read(), 0U);
}

TEST_F(ComparerTest, ReadsOneSideWhereTheOtherIsAHole) {
  MemorySource a(MiB);
  MemorySource b(MiB);
  a.put(300 * KiB, "data");
  EXPECT_THAT(compare(a, b).differences, ElementsAre(ByteRange{300 * KiB, 4}));
  EXPECT_EQ(b.bytes_read(), 0U);
}

TEST_F(ComparerTest, JoinsDifferencesAcrossChunks) {
  MemorySource a(MiB);
  MemorySource b(MiB);
  a.put(64 * KiB - 10, std::string(20, 'a'));
  b.put(64 * KiB - 10, std::string(20, 'b'));
  a.put(512 * KiB, "same");
  b.put(512 * KiB, "same");
  b.put(MiB - 1, "x");
  EXPECT_THAT(compare(a, b).differences,
              ElementsAre(ByteRange{64 * KiB - 10, 20}, ByteRange{MiB - 1, 1}));
}

TEST_F(ComparerTest, CountsTheMissingEndAsZeros) {
  MemorySource a(100 * KiB + 7);
  MemorySource b(200 * KiB);
  a.put(100 * KiB, "abcdefg");
  b.put(100 * KiB, "abcdefg");
  EXPECT_THAT(compare(a, b).differences, IsEmpty());
  b.put(150 * KiB, "y");
  EXPECT_THAT(compare(a, b).differences, ElementsAre(ByteRange{150 * KiB, 1}));
  EXPECT_THAT(compare(b, a).differences, ElementsAre(ByteRange{150 * KiB, 1}));
}

TEST_F(ComparerTest, EndsAfterEnoughDifferences) {
  MemorySource a(10 * MiB);
  MemorySource b(10 * MiB);
  for (std::size_t offset = 0; offset < 10 * MiB; offset += 64 * KiB) a.put(offset, "x");
  options_.most_differences = 5;
  const Comparison result = compare(a, b);
  EXPECT_FALSE(result.complete);
  EXPECT_GT(result.differences.size(), 5U);
  EXPECT_LT(a.bytes_read(), 10 * 64 * KiB);
}

TEST_F(ComparerTest, ThrowsAReadError) {
  MemorySource a(MiB);
  MemorySource b(MiB);
  a.put(5, "x");
  a.fail_at(6);
  EXPECT_THROW(compare(a, b), Error);
}

TEST_F(ComparerTest, ProgressCountsWhatIsSkippedToo) {
  MemorySource a(10 * MiB + 7);
  MemorySource b(3 * MiB);
  a.put(2 * MiB + 5, "data");
  b.put(MiB, "other");
  EXPECT_EQ(compare(a, b).differences.size(), 2U);
  EXPECT_EQ(observer_.total(Phase::read, 0), 10 * MiB + 7);
  EXPECT_EQ(observer_.bytes(Phase::read, 0), 10 * MiB + 7);
  EXPECT_THAT(observer_.events(), ElementsAre("begin read 0", "end read 0"));
}

TEST_F(ComparerTest, StopsWhenAsked) {
  MemorySource a(MiB);
  MemorySource b(MiB);
  stop_ = 2;
  EXPECT_THROW(compare(a, b), Error);
}

}  // namespace
}  // namespace io
