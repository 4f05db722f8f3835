// Reads the tables of a qcow2 file.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/images/qcow2/offsets.hpp"
#include "formats/images/table_pages.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

// TablePages, asked by host offsets.
class TableReader {
 public:
  // `file` outlives the reader.
  explicit TableReader(const io::File& file) : pages_(file) {}

  [[nodiscard]] const std::string& path() const { return pages_.path(); }
  [[nodiscard]] std::uint64_t file_size() const { return pages_.file_size(); }

  void read(HostOffset offset, std::span<std::byte> buffer, std::string_view what) const {
    pages_.read(offset.value, buffer, what);
  }
  [[nodiscard]] bool is_hole(HostOffset offset, std::uint64_t bytes) {
    return pages_.is_hole(offset.value, bytes);
  }
  std::span<const std::byte> cached(HostOffset offset, std::uint64_t most) {
    return pages_.cached(offset.value, most);
  }

 private:
  TablePages pages_;
};

// The offsets in a table of L1 entries, checked: aligned, inside the file, no reserved bits, and
// no two the same (else a small file could claim exabytes of content). 0: not allocated.
std::vector<HostOffset> load_l1(const TableReader& tables, const Geometry& geometry,
                                HostOffset offset, std::uint32_t entries);

}  // namespace formats::qcow2
