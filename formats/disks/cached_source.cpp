#include "formats/disks/cached_source.hpp"

#include <algorithm>

namespace formats {

io::Task<CachedSource::Pieces::iterator> CachedSource::piece(std::uint64_t number) {
  if (const auto known = by_number_.find(number); known != by_number_.end()) {
    pieces_.splice(pieces_.begin(), pieces_, known->second);
    co_return known->second;
  }
  if (pieces_.size() < most_pieces) {
    pieces_.push_front({number, io::AlignedMemory(piece_size)});
  } else {
    by_number_.erase(pieces_.back().number);
    pieces_.splice(pieces_.begin(), pieces_, std::prev(pieces_.end()));
  }
  const auto newest = pieces_.begin();
  newest->number = number;
  const std::uint64_t begin = number * piece_size;
  const io::ByteRange range =
      io::range_between(begin, std::min(begin + piece_size, base_.size().value_or(0)));
  try {
    (void)co_await base_.read(range, newest->memory.buffer());
  } catch (...) {
    pieces_.erase(newest);
    throw;
  }
  by_number_.emplace(number, newest);
  co_return newest;
}

io::Task<std::size_t> CachedSource::read(io::ByteRange range, io::Buffer buffer) {
  if (range.length > longest) co_return co_await base_.read(range, buffer);
  for (std::uint64_t at = range.offset; at < range.end();) {
    const auto holder = co_await piece(at / piece_size);
    const std::uint64_t inside = at % piece_size;
    const std::uint64_t count = std::min(piece_size - inside, range.end() - at);
    std::copy_n(holder->memory.bytes().begin() + static_cast<std::ptrdiff_t>(inside), count,
                buffer.bytes.begin() + static_cast<std::ptrdiff_t>(at - range.offset));
    at += count;
  }
  co_return range.length;
}

}  // namespace formats
