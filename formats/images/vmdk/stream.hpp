// A streamed VMware disk (streamOptimized), read front to back by the markers before its grains:
// from a pipe, or from inside another stream. It needs neither the tables nor the footer.
//
// Source: VMware, Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/images/vmdk/header.hpp"
#include "io/byte_stream.hpp"

namespace formats::vmdk {

// Whether a file that begins so, with header_bytes of it, can be read in that way. Tables that
// stand before the grains tell how many there are, where nothing marks the end; they are looked at
// as long as they take at most 64 MiB.
[[nodiscard]] bool is_stream(std::span<const std::byte> start);

// The disk's content. Throws Error where grains are not in the disk's order: such a file can only
// be read by its tables.
class GrainStream final : public io::ByteStream {
 public:
  // Reads the header and the descriptor. `name` is for messages. Throws Error.
  GrainStream(std::unique_ptr<io::ByteStream> file, std::string name);

  [[nodiscard]] std::uint64_t size() const noexcept { return header_.capacity * sector; }

  std::size_t read(std::span<std::byte> buffer) override;

 private:
  void read_file(std::span<std::byte> bytes);
  void skip_file(std::uint64_t count);
  // Reads up to the grains; what stands before them tells how many there are.
  void count_grains();
  [[nodiscard]] Descriptor read_descriptor();
  void find_grain();
  void take_grain(std::uint64_t at, std::uint64_t place, std::uint32_t length);
  void end_grains();
  [[noreturn]] void fail(std::uint64_t at, const std::string& text) const;

  std::unique_ptr<io::ByteStream> file_;
  std::string name_;
  Header header_;
  std::vector<std::byte> first_;         // sector of the grain that is read
  std::uint64_t position_ = 0;           // in the file
  std::uint64_t done_ = 0;               // of the disk
  bool ended_ = false;                   // the file's grains
  std::uint64_t found_ = 0;              // grains
  std::optional<std::uint64_t> listed_;  // grains, by tables before them
  std::vector<std::byte> packed_;
  std::vector<std::byte> grain_;   // found last
  std::uint64_t grain_begin_ = 0;  // on the disk; grain_end_ where there is none
  std::uint64_t grain_end_ = 0;
};

}  // namespace formats::vmdk
