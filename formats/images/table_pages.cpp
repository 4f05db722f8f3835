#include "formats/images/table_pages.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>

#include <fmt/format.h>
#include <unistd.h>

#include "io/error.hpp"

namespace formats {

void TablePages::read(std::uint64_t offset, std::span<std::byte> buffer,
                      std::string_view what) const {
  const bool inside = offset <= file_size_ && buffer.size() <= file_size_ - offset;
  const std::size_t count = inside ? file_.read_at(offset, buffer) : 0;
  if (!inside || (count < buffer.size() && !amend_)) {
    throw io::Error::format(file_.path(), offset,
                            fmt::format("{} of {} bytes goes past the end of the file ({} bytes)",
                                        what, buffer.size(), file_size_));
  }
  if (!amend_) return;
  std::fill(buffer.begin() + static_cast<std::ptrdiff_t>(count), buffer.end(), std::byte{0});
  amend_(offset, buffer);
}

bool TablePages::is_hole(std::uint64_t offset, std::uint64_t bytes) {
  if (amend_) return false;
  const io::ByteRange range{offset, bytes};
  if (range.offset < hole_.offset || range.offset >= hole_.end()) {
    const std::uint64_t base = file_.window_offset();
    const off_t data = lseek(file_.fd(), static_cast<off_t>(base + range.offset), SEEK_DATA);
    if (data < 0 && errno != ENXIO) return false;  // a file system that cannot say
    hole_ = io::range_between(range.offset, data < 0 ? std::max(file_size_, range.offset)
                                                     : static_cast<std::uint64_t>(data) - base);
  }
  return range.end() <= hole_.end();
}

std::span<const std::byte> TablePages::cached(std::uint64_t offset, std::uint64_t most) {
  assert(offset + most <= file_size_);
  const Page& found = page(offset / page_bytes);
  const auto rest = std::span(found.bytes).subspan(offset % page_bytes);
  return rest.first(std::min<std::uint64_t>(rest.size(), most));
}

const TablePages::Page& TablePages::page(std::uint64_t number) {
  if (!pages_.empty() && pages_.front().number == number) return pages_.front();
  if (const auto found = by_number_.find(number); found != by_number_.end()) {
    pages_.splice(pages_.begin(), pages_, found->second);
    return pages_.front();
  }
  Page fresh;
  if (pages_.size() == most_pages) {
    by_number_.erase(pages_.back().number);
    fresh.bytes = std::move(pages_.back().bytes);
    pages_.pop_back();
  }
  const io::ByteRange range = io::intersection({number * page_bytes, page_bytes}, {0, file_size_});
  fresh.number = number;
  fresh.bytes.resize(range.length);
  read(range.offset, fresh.bytes, "a table");
  pages_.push_front(std::move(fresh));
  by_number_[number] = pages_.begin();
  return pages_.front();
}

}  // namespace formats
