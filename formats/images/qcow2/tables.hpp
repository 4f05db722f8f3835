// Reads the tables of a qcow2 file: in large pieces, each only when it is asked for, through a
// cache of bounded size.
//
// Reads block: tables are small beside the data, and mostly in the page cache. Not thread-safe.
#pragma once

#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/images/qcow2/offsets.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

class TableReader {
 public:
  static constexpr std::uint64_t page_bytes = 64 * io::KiB;
  static constexpr std::size_t most_pages = 512;  // 32 MiB

  // `file` outlives the reader.
  explicit TableReader(const io::File& file) : file_(file), file_size_(file.size()) {}

  [[nodiscard]] const std::string& path() const { return file_.path(); }
  [[nodiscard]] std::uint64_t file_size() const { return file_size_; }

  // Fills `buffer`; `what` is for the message when the file ends before. Throws Error.
  void read(HostOffset offset, std::span<std::byte> buffer, std::string_view what) const;

  // Whether all of it reads as zeros because the file has no space there. Cheap to ask in ascending
  // order.
  [[nodiscard]] bool is_hole(HostOffset offset, std::uint64_t bytes);

  // What the cache has from `offset` on: at least 16 bytes where `offset` is a multiple of that,
  // at most `most`. Valid until the next call. `offset` + `most` lies inside the file.
  std::span<const std::byte> cached(HostOffset offset, std::uint64_t most);

 private:
  struct Page {
    std::uint64_t number;
    std::vector<std::byte> bytes;
  };

  const Page& page(std::uint64_t number);

  const io::File& file_;
  std::uint64_t file_size_;
  io::ByteRange hole_{};   // the last one that was found
  std::list<Page> pages_;  // the one used last is in front
  std::unordered_map<std::uint64_t, std::list<Page>::iterator> by_number_;
};

// The offsets in a table of L1 entries, checked: aligned, inside the file, no reserved bits, and
// no two the same (else a small file could claim exabytes of content). 0: not allocated.
std::vector<HostOffset> load_l1(const TableReader& tables, const Geometry& geometry,
                                HostOffset offset, std::uint32_t entries);

}  // namespace formats::qcow2
