// Reads the tables of an image file: in large pieces, each only when it is asked for, through a
// cache of bounded size.
//
// Reads block: tables are small beside the data, and mostly in the page cache. Not thread-safe.
#pragma once

#include <functional>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/file.hpp"

namespace formats {

class TablePages {
 public:
  static constexpr std::uint64_t page_bytes = 64 * io::KiB;
  static constexpr std::size_t most_pages = 512;  // 32 MiB

  // Changes what was read at `offset` of the file to what should be there.
  using Amend = std::function<void(std::uint64_t offset, std::span<std::byte> bytes)>;

  // `file` outlives the reader.
  explicit TablePages(const io::File& file) : file_(file), file_size_(file.size()) {}
  // The file as it is to be after changes that are not written to it: `size` bytes long, zeros
  // behind its end, then `amend` on whatever is read.
  TablePages(const io::File& file, std::uint64_t size, Amend amend)
      : file_(file), file_size_(size), amend_(std::move(amend)) {}

  [[nodiscard]] const std::string& path() const { return file_.path(); }
  [[nodiscard]] std::uint64_t file_size() const { return file_size_; }

  // Fills `buffer`; `what` is for the message when the file ends before. Throws Error.
  void read(std::uint64_t offset, std::span<std::byte> buffer, std::string_view what) const;

  // Whether all of it reads as zeros because the file has no space there. Cheap to ask in ascending
  // order.
  [[nodiscard]] bool is_hole(std::uint64_t offset, std::uint64_t bytes);

  // What the cache has from `offset` on: at least 16 bytes where `offset` is a multiple of that,
  // at most `most`. Valid until the next call. `offset` + `most` lies inside the file.
  std::span<const std::byte> cached(std::uint64_t offset, std::uint64_t most);

 private:
  struct Page {
    std::uint64_t number;
    std::vector<std::byte> bytes;
  };

  const Page& page(std::uint64_t number);

  const io::File& file_;
  std::uint64_t file_size_;
  Amend amend_;
  io::ByteRange hole_{};   // the last one that was found
  std::list<Page> pages_;  // the one used last is in front
  std::unordered_map<std::uint64_t, std::list<Page>::iterator> by_number_;
};

}  // namespace formats
