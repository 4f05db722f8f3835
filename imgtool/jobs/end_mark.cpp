#include "imgtool/jobs/end_mark.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <span>
#include <string_view>

#include "io/task_group.hpp"
#include "io/zero_run.hpp"

namespace imgtool {
namespace {

// A GPT of twice the usual entries, in sectors of any size; on the grid of all sectors.
constexpr std::uint64_t mark_size = 64 * io::KiB;

// A sector of a mark: these words, a number that no other burn has, then what follows from it and
// from the sector's place on the disk.
constexpr std::size_t mark_sector = 512;
constexpr std::string_view mark_words = "imgtool end mark";
constexpr std::size_t mark_head = mark_words.size() + sizeof(std::uint64_t);

void fill_sector(std::span<std::byte> sector, std::uint64_t number, std::uint64_t offset) {
  std::memcpy(sector.data(), mark_words.data(), mark_words.size());
  std::memcpy(sector.data() + mark_words.size(), &number, sizeof number);
  std::mt19937_64 random(number ^ offset);
  for (std::byte& byte : sector.subspan(mark_head)) byte = static_cast<std::byte>(random());
}

bool is_of_a_mark(std::span<const std::byte> sector, std::uint64_t offset) {
  std::uint64_t number = 0;
  std::memcpy(&number, sector.data() + mark_words.size(), sizeof number);
  std::array<std::byte, mark_sector> mark{};
  fill_sector(mark, number, offset);
  return std::ranges::equal(sector, mark);
}

io::ByteRange place_of(std::uint64_t capacity, std::uint64_t content_end) {
  const std::uint64_t end = io::align_down(capacity, io::buffer_alignment);
  const std::uint64_t begin =
      std::max(end - std::min(end, mark_size), io::align_up(content_end, io::buffer_alignment));
  return io::range_between(std::min(begin, end), end);
}

}  // namespace

EndMark::EndMark(io::Ring& ring, BurnMedium& medium, std::uint64_t capacity,
                 std::uint64_t content_end)
    : ring_(ring),
      medium_(medium),
      range_(place_of(capacity, content_end)),
      before_(mark_size),
      mark_(mark_size) {
  if (range_.empty()) return;
  read(before_);
  std::random_device random;
  const std::uint64_t number = (std::uint64_t{random()} << 32) | random();
  for (std::uint64_t at = 0; at < range_.length; at += mark_sector) {
    const auto before = before_.bytes().subspan(at, mark_sector);
    if (is_of_a_mark(before, range_.offset + at)) std::ranges::fill(before, std::byte{0});
    fill_sector(mark_.bytes().subspan(at, mark_sector), number, range_.offset + at);
  }
  write(mark_, range_);
}

bool EndMark::changed(std::uint64_t content_end) const {
  const io::ByteRange rest = rest_behind(content_end);
  return !rest.empty() && !reads_as(mark_, rest);
}

bool EndMark::remove(std::uint64_t content_end) {
  constexpr int most_tries = 2;
  const io::ByteRange rest = rest_behind(content_end);
  if (rest.empty()) return true;
  const auto content = before_.bytes().subspan(rest.offset - range_.offset, rest.length);
  for (int i = 0; i < most_tries; ++i) {
    if (i == 0 && io::is_zero(content)) {
      io::run_task(ring_, medium_.target().zero(rest));
    } else {
      write(before_, rest);
    }
    if (reads_as(before_, rest)) return true;
  }
  return false;
}

bool EndMark::reads_as(const io::AlignedMemory& memory, io::ByteRange part) const {
  const io::AlignedMemory now(mark_size);
  read(now);
  const auto bytes_of = [&](const io::AlignedMemory& all) {
    return all.bytes().subspan(part.offset - range_.offset, part.length);
  };
  return std::ranges::equal(bytes_of(now), bytes_of(memory));
}

io::ByteRange EndMark::rest_behind(std::uint64_t content_end) const {
  const std::uint64_t begin =
      std::max(range_.offset, io::align_up(content_end, io::buffer_alignment));
  return io::range_between(std::min(begin, range_.end()), range_.end());
}

void EndMark::read(const io::AlignedMemory& memory) const {
  const auto disk = medium_.read_back(range_.end());
  io::run_task(ring_, disk->read(range_, memory.buffer()));
}

void EndMark::write(const io::AlignedMemory& memory, io::ByteRange part) {
  const io::Buffer piece = memory.buffer().subspan(part.offset - range_.offset, part.length);
  io::run_task(ring_, medium_.target().write(part.offset, piece));
}

}  // namespace imgtool
