#include "formats/images/table_map.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"

namespace formats {

TableMap::TableMap(const io::File& file, const Shape& shape, BlockCheck* check)
    : EntryMap(shape.guest_size, shape.cluster_size),
      shape_(shape),
      pages_(file),
      check_(check),
      owners_(file.path(), pages_.file_size(), shape.cluster_size) {
  read_directory();
}

std::uint64_t TableMap::word_at(std::uint64_t place) {
  const auto bytes = pages_.cached(place, 8);
  return shape_.order == std::endian::big ? load_big_endian<std::uint64_t>(bytes, 0)
                                          : load_little_endian<std::uint64_t>(bytes, 0);
}

void TableMap::read_directory() {
  const std::uint64_t count = io::align_up(block_count(), blocks_per_table()) / blocks_per_table();
  const io::ByteRange directory{shape_.directory_at, count * 8};
  const std::uint64_t size = pages_.file_size();
  if (count > largest_directory / 8 || directory.offset % 8 != 0 || directory.offset > size ||
      directory.length > size - directory.offset) {
    throw io::Error::format(pages_.path(), directory.offset,
                            fmt::format("a directory of {} tables does not fit in here: the file "
                                        "ends at {}",
                                        count, size));
  }
  (void)owners_.take(shape_.header);
  (void)owners_.take(directory);  // it may begin where the header ends
  if (check_ != nullptr) {
    const std::uint64_t all = std::max(shape_.directory_bytes, directory.length);
    (void)owners_.take(io::intersection({directory.offset, all}, {0, size}));
  }
  tables_.resize(count);
  checked_.resize(count);
  for (std::uint64_t number = 0; number < count; ++number) {
    const std::uint64_t entry_at = directory.offset + number * 8;
    tables_[number] = word_at(entry_at);
    if (tables_[number] != 0 && !note_table(tables_[number], entry_at)) tables_[number] = 0;
  }
}

// Whether it can be gone by.
bool TableMap::note_table(std::uint64_t table, std::uint64_t entry_at) {
  const auto fail = [&](const std::string& why) {
    report(check_, io::Error::format(pages_.path(), entry_at,
                                     fmt::format("a table is said to be at {}, {}", table, why)));
    return false;
  };
  const std::uint64_t size = pages_.file_size();
  if (table % shape_.cluster_size != 0) return fail("which is not the start of a cluster");
  if (table > size || shape_.table_bytes > size - table) {
    return fail(fmt::format("but the file ends at {}: it was cut short", size));
  }
  if (!owners_.take({table, shape_.table_bytes})) return fail("where something else is already");
  return true;
}

void TableMap::check_all() {
  for (std::uint64_t number = 0; number < tables_.size(); ++number) {
    if (tables_[number] == 0 || checked_[number]) continue;
    if (!pages_.is_hole(tables_[number], shape_.table_bytes)) check_table(number);
  }
  BlockCheckResult& result = check_->result();
  result.total_blocks = block_count();
  result.leaked_blocks = owners_.count_free(pages_.file_size());
  result.leaked_bytes = result.leaked_blocks * shape_.cluster_size;
  result.image_end = std::min(owners_.end(), pages_.file_size());
}

StoredBlock TableMap::block_at(std::uint64_t index) {
  const std::uint64_t number = index / blocks_per_table();
  const std::uint64_t table = tables_[number];
  // A table in a hole of the file need not be read: a small file can name millions of them.
  if (table == 0 || (!checked_[number] && pages_.is_hole(table, shape_.table_bytes))) {
    return absent_from(index);
  }
  if (!checked_[number]) check_table(number);
  return parse_word(word_at(table + index % blocks_per_table() * 8));
}

// To the end of the table, and of all that follow it and are not there.
StoredBlock TableMap::absent_from(std::uint64_t index) const {
  std::uint64_t next = index / blocks_per_table() + 1;
  while (next < tables_.size() && tables_[next] == 0) ++next;
  StoredBlock block;
  block.alike = std::min(next * blocks_per_table(), block_count()) - index;
  return block;
}

void TableMap::check_table(std::uint64_t number) {
  const std::uint64_t first = number * blocks_per_table();
  const std::uint64_t end = std::min(first + blocks_per_table(), block_count());
  for (std::uint64_t index = first; index < end; ++index) {
    const std::uint64_t entry_at = tables_[number] + (index - first) * 8;
    check_block(parse_word(word_at(entry_at)), index, entry_at);
  }
  checked_[number] = true;
}

void TableMap::count(const StoredBlock& block) {
  BlockCheckResult& result = check_->result();
  ++result.allocated_blocks;
  if (block.kind != BlockKind::packed) return;
  ++result.compressed_blocks;
  (void)owners_.take({block.host, block.stored_bytes});  // others may begin in the same cluster
}

void TableMap::check_block(const StoredBlock& block, std::uint64_t index, std::uint64_t entry_at) {
  const auto fail = [&](const std::string& why) {
    report(check_, io::Error::format(
                       pages_.path(), entry_at,
                       fmt::format("block {} is said to be at {}, {}", index, block.host, why)));
  };
  const bool packed = block.kind == BlockKind::packed;
  if (block.kind != BlockKind::plain && !packed) return;
  const std::uint64_t size = pages_.file_size();
  const std::uint64_t needed = packed ? block.stored_bytes : content_of(index);
  if (!packed && block.host % shape_.cluster_size != 0) {
    fail("which is not the start of a cluster");
    return;
  }
  if (block.host >= size || needed > size - block.host) {
    fail(fmt::format("but the file ends at {}: it was cut short", size));
    return;
  }
  if (check_ != nullptr) count(block);
  if (packed) {
    // Streams share clusters; together they cannot be longer than the file.
    stream_bytes_ += needed;
    if (needed == 0 || stream_bytes_ > size) fail("and the file has no room for all such blocks");
  } else if (!owners_.take({block.host, std::min(shape_.cluster_size, size - block.host)})) {
    fail("where something else is already");
  }
}

}  // namespace formats
