#include "formats/images/zst/target.hpp"

#include <gtest/gtest.h>

#include "formats/images/streams/decoder.hpp"
#include "formats/images/zst/image.hpp"
#include "formats/images/zst/zstd.hpp"
#include "io/copier.hpp"
#include "io/error.hpp"
#include "io/sequential_reader.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/recording_observer.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::zst {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::uint64_t frame = ZstTarget::frame_bytes;

class ZstTargetTest : public io::EngineTest {
 protected:
  // Copies `extents` of a pattern into a zst file and gives its path.
  std::string write(const std::vector<io::Extent>& extents, unsigned threads, unsigned lanes,
                    std::uint64_t chunk_size = frame, bool as_data = false) {
    const std::string path = folder_.path("image" + std::to_string(++files_));
    io::PatternSource source(ring(), extents);
    if (as_data) source.be_data();
    content_ = source.content();
    io::File file(path, O_RDWR | O_CREAT | O_EXCL);
    std::optional<io::WorkerPool> workers;
    if (threads > 0) workers.emplace(threads);
    ZstOptions options;
    options.workers = workers ? &*workers : nullptr;
    ZstTarget target(ring(), file, content_.size(), options);

    std::vector<io::CopyTarget> targets(1);
    targets.front().target = &target;
    io::CopyOptions copy;
    copy.lanes = lanes;
    copy.chunk_size = chunk_size;
    io::RecordingObserver observer;
    io::StopFlag stop{0};
    io::Copier copier(ring(), source, targets, copy, observer, stop);
    copier.run({io::ByteRange{0, content_.size()}});
    EXPECT_FALSE(targets.front().error.has_value());
    io::run_task(ring(), target.finish());
    EXPECT_EQ(target.file_bytes(), file.size());
    content_bytes_ = target.content_bytes();
    return path;
  }

  Bytes read(const std::string& path, std::uint64_t step) {
    const auto image = open_image(ring(), path, {});
    EXPECT_TRUE(image->seekable());
    Bytes found(*image->size());
    for (std::uint64_t at = 0; at < found.size(); at += step) {
      const std::uint64_t length = std::min<std::uint64_t>(step, found.size() - at);
      io::run_task(ring(), image->read({at, length}, {std::span(found).subspan(at, length)}));
    }
    return found;
  }

  // Also where it has become a stream, which does not say its size.
  Bytes read_to_the_end(const std::string& path) {
    const auto image = open_image(ring(), path, {});
    Bytes found(content_.size() + 1);
    const std::uint64_t end = std::min<std::uint64_t>(found.size(), image->size().value_or(~0ULL));
    std::uint64_t at = 0;
    while (at < end) {
      const std::uint64_t length = std::min(frame, end - at);
      const std::size_t count =
          io::run_task(ring(), image->read({at, length}, {std::span(found).subspan(at, length)}));
      if (count == 0) break;
      at += count;
    }
    found.resize(at);
    return found;
  }

  // As zstd -d does.
  [[nodiscard]] Bytes decode(const std::string& path) const {
    const io::File file(path, O_RDONLY);
    streams::Decoder decoder(
        make_zstd_codec(),
        std::make_unique<io::SequentialReader>(file, std::vector<std::byte>{}, nullptr), path);
    Bytes found(content_.size() + 1);
    found.resize(decoder.read(found));
    return found;
  }

  static io::Extent data(std::uint64_t begin, std::uint64_t end) {
    return {io::range_between(begin, end), io::ExtentKind::data};
  }
  static io::Extent hole(std::uint64_t begin, std::uint64_t end) {
    return {io::range_between(begin, end), io::ExtentKind::hole};
  }

  const std::vector<io::Extent> mixed_ = {data(0, frame + 100), hole(frame + 100, 5 * frame),
                                          data(5 * frame, 6 * frame), hole(6 * frame, 7 * frame),
                                          data(7 * frame, 8 * frame + 77)};
  io::TemporaryFolder folder_;
  int files_ = 0;
  Bytes content_;
  std::uint64_t content_bytes_ = 0;
};

TEST_P(ZstTargetTest, IsReadBackAtAnyPlaceAndByAPlainDecoder) {
  const std::string path = write(mixed_, 2, 4);
  EXPECT_EQ(read(path, frame), content_);
  EXPECT_EQ(read(path, 300'000), content_);
  EXPECT_EQ(read(path, 3 * frame), content_);
  EXPECT_EQ(decode(path), content_);
  EXPECT_EQ(content_bytes_, 4 * frame + 77);
}

TEST_P(ZstTargetTest, GivesTheSameFileHoweverItIsMade) {
  const Bytes first = io::content_of(write(mixed_, 0, 1));
  EXPECT_EQ(io::content_of(write(mixed_, 3, 8)), first);
  EXPECT_EQ(io::content_of(write(mixed_, 2, 3, 4 * frame)), first);
  EXPECT_EQ(io::content_of(write(mixed_, 2, 3, frame, true)), first);
}

TEST_P(ZstTargetTest, StoresNoZerosAndKnowsThemWithoutDecoding) {
  const std::string path = write({hole(0, 20 * frame)}, 1, 2);
  EXPECT_LT(io::File(path, O_RDONLY).size(), 10'000U);
  EXPECT_EQ(content_bytes_, 0U);
  const auto image = open_image(ring(), path, {});
  EXPECT_EQ(image->extent_at(0).kind, io::ExtentKind::hole);
  EXPECT_EQ(image->extent_at(0).range.length, 20 * frame);
  EXPECT_EQ(decode(path), content_);
}

TEST_P(ZstTargetTest, WritesSmallAndEmptyImages) {
  for (const std::uint64_t size : {0U, 1U, 4096U}) {
    const std::string path =
        write(size == 0 ? std::vector<io::Extent>{} : std::vector<io::Extent>{data(0, size)}, 1, 2);
    EXPECT_EQ(read(path, 1000), content_) << size;
    EXPECT_EQ(decode(path), content_) << size;
  }
}

// The table is lost, and what is left would pass for a shorter image.
TEST_P(ZstTargetTest, IsNotTakenForCompleteWhenItWasCutBetweenFrames) {
  const std::string path = write({data(0, 2 * frame)}, 1, 2);
  const io::File file(path, O_RDWR);
  const auto table = SeekTable::read(file);
  ASSERT_TRUE(table.has_value());
  file.truncate(table->frames().back().stored_at);
  const auto image = open_image(ring(), path, {});
  EXPECT_FALSE(image->seekable());
  Bytes found(2 * frame);
  EXPECT_THROW(io::run_task(ring(), image->read({0, found.size()}, {found})), io::Error);
}

TEST_P(ZstTargetTest, EveryFlippedByteIsAnErrorOrChangesNothing) {
  const std::string path = write({hole(0, frame), data(frame, frame + 3000)}, 1, 2);
  const Bytes good = io::content_of(path);
  for (std::size_t at = 0; at < good.size(); at += at < 64 || good.size() - at < 100 ? 1 : 23) {
    const io::File file(path, O_RDWR);
    const std::byte bad = good[at] ^ std::byte{4};
    file.write_at(at, std::span(&bad, 1));
    try {
      // Without its first bytes it is no zst file any more.
      const bool known = open_image(ring(), path, {})->format() == Format::zst;
      ASSERT_TRUE(known || at < 4);
      if (known) {
        ASSERT_EQ(read_to_the_end(path), content_) << "byte " << at;
      }
    } catch (const io::Error&) {
    }
    file.write_at(at, std::span(&good[at], 1));
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, ZstTargetTest, io::engines_here(), io::engine_name);

}  // namespace
}  // namespace formats::zst
