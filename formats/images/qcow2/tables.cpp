#include "formats/images/qcow2/tables.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>

#include <fmt/format.h>
#include <unistd.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/entries.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {

void TableReader::read(HostOffset offset, std::span<std::byte> buffer,
                       std::string_view what) const {
  if (offset.value > file_size_ || buffer.size() > file_size_ - offset.value ||
      file_.read_at(offset.value, buffer) < buffer.size()) {
    throw io::Error::format(file_.path(), offset.value,
                            fmt::format("{} of {} bytes goes past the end of the file ({} bytes)",
                                        what, buffer.size(), file_size_));
  }
}

bool TableReader::is_hole(HostOffset offset, std::uint64_t bytes) {
  const io::ByteRange range{offset.value, bytes};
  if (range.offset < hole_.offset || range.offset >= hole_.end()) {
    const off_t data = lseek(file_.fd(), static_cast<off_t>(range.offset), SEEK_DATA);
    if (data < 0 && errno != ENXIO) return false;  // a file system that cannot say
    hole_ = io::range_between(range.offset, data < 0 ? std::max(file_size_, range.offset)
                                                     : static_cast<std::uint64_t>(data));
  }
  return range.end() <= hole_.end();
}

std::span<const std::byte> TableReader::cached(HostOffset offset, std::uint64_t most) {
  assert(offset.value + most <= file_size_);
  const Page& found = page(offset.value / page_bytes);
  const auto rest = std::span(found.bytes).subspan(offset.value % page_bytes);
  return rest.first(std::min<std::uint64_t>(rest.size(), most));
}

const TableReader::Page& TableReader::page(std::uint64_t number) {
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
  read({range.offset}, fresh.bytes, "a table");
  pages_.push_front(std::move(fresh));
  by_number_[number] = pages_.begin();
  return pages_.front();
}

namespace {

void refuse_shared_tables(const TableReader& tables, HostOffset l1,
                          const std::vector<HostOffset>& l2_offsets) {
  std::vector<HostOffset> sorted;
  std::copy_if(l2_offsets.begin(), l2_offsets.end(), std::back_inserter(sorted),
               [](HostOffset offset) { return offset.value != 0; });
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice == sorted.end()) return;
  throw io::Error::format(
      tables.path(), l1.value,
      fmt::format("two entries of the L1 table name the same L2 table, at {}", twice->value));
}

}  // namespace

std::vector<HostOffset> load_l1(const TableReader& tables, const Geometry& geometry,
                                HostOffset offset, std::uint32_t entries) {
  std::vector<HostOffset> l2_offsets(entries);
  std::vector<std::byte> piece(std::min<std::uint64_t>(io::MiB, std::uint64_t{entries} * 8));
  for (std::uint64_t index = 0; index < entries;) {
    const auto count = std::min<std::uint64_t>(entries - index, piece.size() / 8);
    tables.read(offset + index * 8, std::span(piece).first(count * 8), "the L1 table");
    for (std::uint64_t i = 0; i < count; ++i, ++index) {
      const auto word = load_big_endian<std::uint64_t>(piece, i * 8);
      if (word == 0) continue;
      const std::string fault = l1_fault(word, geometry, tables.file_size());
      if (!fault.empty()) {
        throw io::Error::format(tables.path(), offset.value + index * 8,
                                fmt::format("L1 entry {} is {:#018x}: {}", index, word, fault));
      }
      l2_offsets[index] = table_offset(word);
    }
  }
  refuse_shared_tables(tables, offset, l2_offsets);
  return l2_offsets;
}

}  // namespace formats::qcow2
