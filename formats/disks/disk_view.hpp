// What the parsers of partition tables and file systems look through: blocking reads of small
// pieces of a disk, or of a part of it, whatever format holds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/buffer_pool.hpp"
#include "io/observer.hpp"
#include "io/source.hpp"

namespace formats {

// Belongs to the ring's thread, and drives the ring while it reads. Offsets are bytes from the
// beginning of the window.
class DiskView {
 public:
  // All of a seekable `source`. All outlive the view. `stop`, when it is set, ends the next read
  // with ErrorKind::cancelled.
  DiskView(io::Ring& ring, io::Source& source, const io::StopFlag* stop = nullptr);

  // The bytes of `range` alone, which lies inside this view: a partition, a logical volume.
  [[nodiscard]] DiskView part(io::ByteRange range) const;

  [[nodiscard]] std::uint64_t size() const noexcept { return window_.length; }
  // Where the window lies in the source.
  [[nodiscard]] std::uint64_t begin() const noexcept { return window_.offset; }
  [[nodiscard]] io::Ring& ring() const noexcept { return ring_; }
  [[nodiscard]] io::Source& source() const noexcept { return source_; }
  [[nodiscard]] const io::StopFlag* stop() const noexcept { return stop_; }
  [[nodiscard]] const std::string& name() const { return source_.name(); }

  // `length` bytes at `offset`. Throws ErrorKind::format when they do not lie inside the window,
  // and what the source throws. Callers bound `length`: it is allocated.
  [[nodiscard]] std::vector<std::byte> read(std::uint64_t offset, std::size_t length);

  // Whether the source knows, without being read, that all of the window reads as zeros.
  [[nodiscard]] bool is_hole() const;

  // Whether `length` bytes at `offset` lie inside the window.
  [[nodiscard]] bool holds(std::uint64_t offset, std::uint64_t length) const noexcept {
    return length <= size() && offset <= size() - length;
  }

 private:
  DiskView(io::Ring& ring, io::Source& source, const io::StopFlag* stop, io::ByteRange window);
  void fill(std::uint64_t begin, std::uint64_t end);

  io::Ring& ring_;
  io::Source& source_;
  const io::StopFlag* stop_;
  io::ByteRange window_;
  // What was read last, from a page boundary of the source on. None before the first read: many
  // views are made, of which each is read a few times.
  std::optional<io::AlignedMemory> memory_;
  io::ByteRange cached_{};  // of the source
};

}  // namespace formats
