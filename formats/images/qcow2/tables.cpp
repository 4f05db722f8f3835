#include "formats/images/qcow2/tables.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/entries.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
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
