#include "formats/images/qcow2/writer.hpp"

#include <random>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "formats/images/image.hpp"
#include "formats/images/qcow2/check.hpp"
#include "io/error.hpp"
#include "io/memory_source.hpp"
#include "io/task_group.hpp"
#include "io/zero_run.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats::qcow2 {
namespace {

using io::KiB;
using io::MiB;

class WriterTest : public io::EngineTest {
 protected:
  static std::vector<std::byte> noise(std::size_t size, unsigned seed, unsigned mask = 0xff) {
    std::mt19937 random(seed);
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & mask);
    return bytes;
  }

  io::File make_file(const std::string& name = "image") {
    return io::File(folder_.path(name), O_RDWR | O_CREAT | O_TRUNC);
  }

  // Writes `content` in chunks of these sizes, the last one first; zeros by request.
  void write_backwards(Qcow2Target& target, const std::vector<std::byte>& content,
                       std::uint64_t chunk) {
    memory_.emplace_back(content.size());
    const auto bytes = memory_.back().bytes();
    std::copy(content.begin(), content.end(), bytes.begin());
    io::TaskGroup group(ring());
    const std::uint64_t count = (content.size() + chunk - 1) / chunk;
    for (std::uint64_t i = count; i-- > 0;) {
      const std::uint64_t length = std::min<std::uint64_t>(chunk, content.size() - i * chunk);
      const auto piece = bytes.subspan(i * chunk, length);
      if (io::is_zero(piece)) {
        group.spawn(target.zero({i * chunk, length}));
      } else {
        group.spawn(target.write(i * chunk, memory_.back().buffer().subspan(i * chunk, length)));
      }
    }
    group.run();
    io::run_task(ring(), target.finish());
  }

  void expect_content(const std::string& name, const std::vector<std::byte>& content) {
    const io::File file(folder_.path(name), O_RDONLY);
    const CheckResult result = check(
        file, [](const std::string& problem) { ADD_FAILURE() << problem; }, stop_);
    EXPECT_TRUE(result.clean());
    const auto image = open_image(ring(), folder_.path(name), {});
    ASSERT_EQ(image->size(), io::align_up(content.size(), 512));
    const io::AlignedMemory memory(io::align_up(content.size(), 4096));
    io::run_task(ring(), image->read({0, *image->size()}, memory.buffer()));
    EXPECT_TRUE(std::equal(content.begin(), content.end(), memory.bytes().begin()));
  }

  io::TemporaryFolder folder_;
  io::WorkerPool workers_{3};
  const io::StopFlag stop_{0};
  std::vector<io::AlignedMemory> memory_;
};
INSTANTIATE_TEST_SUITE_P(Engines, WriterTest, io::engines_here(), io::engine_name);

std::vector<std::byte> with_holes(std::vector<std::byte> content) {
  std::fill_n(content.begin() + 128 * KiB, 200 * KiB, std::byte{0});
  return content;
}

TEST_P(WriterTest, LaysDownChunksInGuestOrderWhateverOrderTheyComeIn) {
  auto content = with_holes(noise(MiB + 700, 1, 0x33));
  const auto random = noise(100 * KiB, 2);
  std::copy(random.begin(), random.end(), content.begin() + 600 * KiB);  // does not compress
  for (const bool compressed : {false, true}) {
    WriterOptions options;
    if (compressed) options.codec = Codec{};
    options.workers = &workers_;
    std::vector<std::string> names = {"by 64K", "by 256K"};
    for (std::size_t i = 0; i < names.size(); ++i) {
      io::File file = make_file(names[i]);
      Qcow2Target target(ring(), file, content.size(), options);
      write_backwards(target, content, (i == 0 ? 64 : 256) * KiB);
      EXPECT_EQ(target.file_bytes(), file.size());
      expect_content(names[i], content);
    }
    const io::File one(folder_.path(names[0]), O_RDONLY);
    const io::File other(folder_.path(names[1]), O_RDONLY);
    std::vector<std::byte> a(one.size());
    std::vector<std::byte> b(other.size());
    one.read_at(0, a);
    other.read_at(0, b);
    EXPECT_EQ(a, b);
  }
}

TEST_P(WriterTest, TheSizeOfAStreamIsWhatWasWritten) {
  const auto content = noise(300 * KiB + 100, 3, 0x33);
  WriterOptions options;
  options.codec = Codec{};
  options.workers = &workers_;
  io::File file = make_file();
  Qcow2Target target(ring(), file, std::nullopt, options);
  write_backwards(target, content, 64 * KiB);
  expect_content("image", content);
}

TEST_P(WriterTest, LeavesOutWhatTheBackingFileHas) {
  auto content = noise(512 * KiB, 4);
  io::AlignedMemory memory(content.size());
  std::copy(content.begin(), content.end(), memory.bytes().begin());
  io::MemorySource backing("base", std::move(memory), content.size());
  content[70 * KiB] ^= std::byte{1};
  std::fill_n(content.begin() + 128 * KiB, 64 * KiB, std::byte{0});

  WriterOptions options;
  options.backing = &backing;
  options.create.backing_file = "base";
  options.create.backing_format = "raw";
  io::File file = make_file();
  Qcow2Target target(ring(), file, content.size(), options);
  write_backwards(target, content, 64 * KiB);
  EXPECT_EQ(target.content_bytes(), 64 * KiB);

  OpenOptions open;
  open.layout_only = true;
  const auto image = open_image(ring(), folder_.path("image"), open);
  EXPECT_FALSE(image->placement_at(0).present);
  EXPECT_TRUE(image->placement_at(64 * KiB).data);
  EXPECT_TRUE(image->placement_at(128 * KiB).zero);
  EXPECT_FALSE(image->placement_at(192 * KiB).present);
}

TEST_P(WriterTest, AFailureLetsGoOfThoseBehindIt) {
  WriterOptions options;
  options.codec = Codec{};
  options.workers = &workers_;
  io::File file = make_file();
  Qcow2Target target(ring(), file, 256 * KiB, options);
  const auto content = noise(64 * KiB, 5, 0x33);
  io::AlignedMemory memory(content.size());
  std::copy(content.begin(), content.end(), memory.bytes().begin());
  const auto abandon = [](io::Ring& r, Qcow2Target& t) -> io::Task<> {
    (void)co_await r.nop();
    t.abandon();
  };
  io::TaskGroup group(ring());
  group.spawn(target.write(64 * KiB, memory.buffer()));
  group.spawn(target.zero({128 * KiB, 64 * KiB}));
  group.spawn(abandon(ring(), target));
  EXPECT_THROW(group.run(), io::Error);
}

TEST(CreateOptionsFault, NamesWhatIsWrong) {
  CreateOptions options;
  EXPECT_EQ(fault_of(options, 64 * io::GiB), "");
  options.geometry.cluster_bits = 9;
  EXPECT_EQ(fault_of(options, 100 * io::GiB), "");
  EXPECT_NE(fault_of(options, 200 * io::GiB).find("too large"), std::string::npos);
  options.geometry.extended_l2 = true;
  EXPECT_NE(fault_of(options, MiB).find("extended_l2"), std::string::npos);
  options = {};
  options.version = 2;
  options.compression = Compression::zstd;
  EXPECT_NE(fault_of(options, MiB).find("compat"), std::string::npos);
  options = {};
  options.backing_file = std::string(500, 'x');
  options.backing_format = "raw";
  EXPECT_EQ(fault_of(options, MiB), "");
  options.geometry.cluster_bits = 9;
  EXPECT_NE(fault_of(options, MiB).find("first cluster"), std::string::npos);
}

}  // namespace
}  // namespace formats::qcow2
