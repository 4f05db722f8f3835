// Page-aligned memory for the lanes of a copy.
//
// Buffer i belongs to lane i for the whole copy, so no buffer is shared and none is allocated
// once the copy runs. A pool must outlive every request that uses it. Not thread-safe.
#pragma once

#include <cstddef>
#include <vector>

#include "io/ring.hpp"

namespace io {

// Every buffer starts and is sized at a multiple of this; it satisfies O_DIRECT everywhere.
inline constexpr std::size_t buffer_alignment = 4096;

// Owns page-aligned, zero-filled memory that the system took no page for until it is touched; in
// huge pages where it is large enough.
class AlignedMemory {
 public:
  // `size` is rounded up to buffer_alignment. Throws std::bad_alloc.
  explicit AlignedMemory(std::size_t size);
  AlignedMemory(AlignedMemory&& other) noexcept;
  AlignedMemory& operator=(AlignedMemory&& other) noexcept;
  AlignedMemory(const AlignedMemory&) = delete;
  AlignedMemory& operator=(const AlignedMemory&) = delete;
  ~AlignedMemory();

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] Buffer buffer() const noexcept { return {bytes_, -1}; }

 private:
  std::span<std::byte> bytes_;
};

class BufferPool {
 public:
  // Registers the buffers with `ring` where the kernel lets it (RLIMIT_MEMLOCK may not).
  BufferPool(Ring& ring, unsigned count, std::size_t buffer_size);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  [[nodiscard]] unsigned count() const noexcept { return count_; }
  [[nodiscard]] Buffer at(unsigned lane) const;

 private:
  Ring& ring_;
  unsigned count_;
  std::size_t buffer_size_;
  AlignedMemory arena_;
  bool registered_ = false;
};

}  // namespace io
