#include "formats/images/zst/seek_table.hpp"

#include <gtest/gtest.h>

#include "formats/bytes/little_endian.hpp"
#include "io/byte_range.hpp"
#include "io/error.hpp"
#include "tests/io/temporary_folder.hpp"
#include "tests/support/peak_memory.hpp"

namespace formats::zst {
namespace {

constexpr std::uint32_t stored = 16, content = 4096;
constexpr std::uint64_t header_bytes = 8, footer_bytes = 9;

// A file of that many frames of one size, which are holes, and their table without checksums.
io::File file_of(const io::TemporaryFolder& folder, std::uint32_t frames) {
  constexpr std::uint32_t at_once = 1 << 16;
  std::vector<std::byte> entries(std::size_t{at_once} * 8);
  for (std::size_t at = 0; at < entries.size(); at += 8) {
    store_little_endian(std::span(entries), at, stored);
    store_little_endian(std::span(entries), at + 4, content);
  }
  io::File file = folder.make("file");
  std::uint64_t at = std::uint64_t{frames} * stored;
  std::vector<std::byte> ends(header_bytes);
  store_little_endian<std::uint32_t>(ends, 0, 0x184D2A5E);
  store_little_endian(std::span(ends), 4, static_cast<std::uint32_t>(frames * 8 + footer_bytes));
  file.write_at(at, ends);
  at += ends.size();
  for (std::uint32_t left = frames; left > 0;) {
    const std::uint32_t here = std::min(left, at_once);
    file.write_at(at, std::span(entries).first(std::size_t{here} * 8));
    at += std::uint64_t{here} * 8;
    left -= here;
  }
  ends.assign(footer_bytes, std::byte{0});
  store_little_endian(std::span(ends), 0, frames);
  store_little_endian<std::uint32_t>(ends, 5, 0x8F92EAB1);
  file.write_at(at, ends);
  return file;
}

TEST(SeekTable, WithAsManyFramesAsThereMayBeTakesSixTimesItsLength) {
  const io::TemporaryFolder folder;
  const io::File file = file_of(folder, SeekTable::most_frames);
  const tests::PeakMemory peak;
  const auto table = SeekTable::read(file);
  const std::uint64_t memory = peak.bytes();
  ASSERT_EQ(table.value().frames().size(), SeekTable::most_frames);
  EXPECT_EQ(table->content_size(), std::uint64_t{SeekTable::most_frames} * content);
  EXPECT_LE(memory, 6 * std::uint64_t{SeekTable::most_frames} * 8);
}

TEST(SeekTable, WithMoreFramesIsNotRead) {
  const io::TemporaryFolder folder;
  const io::File file = file_of(folder, SeekTable::most_frames + 1);
  const tests::PeakMemory peak;
  try {
    (void)SeekTable::read(file);
    FAIL() << "was read";
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::unsupported);
  }
  EXPECT_LE(peak.bytes(), io::MiB);
}

}  // namespace
}  // namespace formats::zst
