#include "formats/images/streams/stream_image.hpp"

#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/images/streams/decoder.hpp"
#include "formats/images/streams/xz.hpp"
#include "formats/images/zst/label.hpp"
#include "io/error.hpp"
#include "io/sequential_reader.hpp"
#include "tests/formats/images/streams/compressed.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::streams {
namespace {

class StreamImageTest : public io::EngineTest {
 protected:
  std::unique_ptr<Image> open(const Bytes& stream, const std::string& name = "stream") {
    (void)folder_.make(name, stream);
    return open_image(ring(), folder_.path(name), {});
  }

  // As a copy reads it: many lanes at once.
  Bytes read_all(io::Source& source, std::uint64_t chunk_size = 4096) {
    Bytes content(source.size().value_or(std::uint64_t{1} << 21));
    std::uint64_t end = 0;
    io::TaskGroup lanes(ring());
    std::uint64_t next = 0;
    const auto lane = [&]() -> io::Task<> {
      while (next < content.size()) {
        const io::ByteRange range =
            io::range_between(next, std::min<std::uint64_t>(next + chunk_size, content.size()));
        next = range.end();
        const io::Buffer buffer{std::span(content).subspan(range.offset, range.length)};
        const std::size_t count = co_await source.read(range, buffer);
        if (count > 0) end = std::max(end, range.offset + count);
      }
    };
    for (int i = 0; i < 8; ++i) lanes.spawn(lane());
    lanes.run();
    content.resize(end);
    return content;
  }

  io::TemporaryFolder folder_;
  const Bytes content_ = io::pattern({0, 1'000'001});
};

TEST_P(StreamImageTest, GivesItsContentInOrderToManyLanes) {
  const auto image = open(gzip(content_));
  EXPECT_EQ(image->format(), Format::gz);
  EXPECT_FALSE(image->seekable());
  EXPECT_FALSE(image->size().has_value());
  EXPECT_EQ(read_all(*image), content_);
  EXPECT_EQ(image->size(), content_.size());
}

TEST_P(StreamImageTest, KnowsTheSizeOfXzBeforehand) {
  const auto image = open(joined({xz(content_), Bytes(8), xz(content_)}));
  EXPECT_EQ(image->size(), 2 * content_.size());
  EXPECT_EQ(read_all(*image), joined({content_, content_}));
}

TEST_P(StreamImageTest, SeesDamageBehindTheLastByteOfKnownSize) {
  Bytes stream = xz(content_);
  Bytes garbage = joined({stream, Bytes(4, std::byte{'x'})});
  (void)folder_.make("garbage", garbage);
  auto file = std::make_unique<io::File>(folder_.path("garbage"), O_RDONLY);
  auto input = std::make_unique<io::SequentialReader>(*file, Bytes(), nullptr);
  Content content;
  content.bytes = std::make_unique<Decoder>(make_codec(Format::xz), std::move(input), "garbage");
  content.size = content_.size();
  StreamImage image(ring(), std::move(file), Format::xz, std::move(content));
  EXPECT_THROW(read_all(image), io::Error);
}

TEST_P(StreamImageTest, RefusesAStatedSizeThatIsNotTrue) {
  for (const std::uint64_t stated : {content_.size() - 1, content_.size() + 1}) {
    const auto image =
        open(joined({zst::make_label(stated), zstd(content_)}), "stated" + std::to_string(stated));
    EXPECT_EQ(image->size(), std::nullopt);  // another file may stand behind it
    EXPECT_THROW(read_all(*image), io::Error);
  }
}

TEST_P(StreamImageTest, LetsAllLanesGoAfterDamage) {
  Bytes stream = bzip2(content_);
  stream[stream.size() / 2] ^= std::byte{1};
  const auto image = open(stream);
  EXPECT_THROW(read_all(*image), io::Error);
}

TEST_P(StreamImageTest, ReadsAPipeWhoseStartWasTaken) {
  const Bytes stream = gzip(content_);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  io::File writer(io::FileDescriptor(ends[1]), "writer");
  std::thread feeder([&] {
    for (std::size_t at = 7; at < stream.size();) {
      const auto count =
          write(writer.fd(), &stream[at], std::min<std::size_t>(9999, stream.size() - at));
      if (count <= 0) break;
      at += static_cast<std::size_t>(count);
    }
    writer = {};
  });
  const auto image = open_stream(ring(), {io::FileDescriptor(ends[0]), "pipe"}, Format::gz,
                                 Bytes(stream.begin(), stream.begin() + 7), {});
  EXPECT_EQ(read_all(*image), content_);
  feeder.join();
}

TEST_P(StreamImageTest, StopsWaitingForAPipe) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const io::FileDescriptor writer(ends[1]);
  io::StopFlag stop{0};
  OpenOptions options;
  options.stop = &stop;
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = 2;
  });
  EXPECT_THROW(
      (void)open_stream(ring(), {io::FileDescriptor(ends[0]), "pipe"}, Format::gz, {}, options),
      io::Error);
  stopper.join();
}

INSTANTIATE_TEST_SUITE_P(Engines, StreamImageTest, io::engines_here(), io::engine_name);

}  // namespace
}  // namespace formats::streams
