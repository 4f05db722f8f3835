// What the fuzz targets of images over a block map do: ask for the facts, check, walk through the
// map, and read. Anything but an io::Error, a map with a gap, or a plain run outside of the file is
// a bug.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "formats/images/block_formats.hpp"
#include "formats/images/block_image.hpp"
#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"

namespace formats::fuzz {

// The map covers the disk; a thousand runs are enough.
inline void walk(BlockMap& map, std::uint64_t file_size) {
  std::uint64_t guest = 0;
  for (int i = 0; i < 1000 && guest < map.guest_size(); ++i) {
    const BlockRun run = map.run_at(guest, map.guest_size() - guest);
    const bool stored = run.kind == BlockKind::plain || run.kind == BlockKind::packed;
    const std::uint64_t bytes = run.kind == BlockKind::plain ? run.length : run.stored_bytes;
    if (run.length == 0 || run.length > map.guest_size() - guest || run.guest != guest ||
        (stored && (run.host > file_size || bytes > file_size - run.host))) {
      std::abort();
    }
    guest += run.length;
  }
}

inline void read_all(Image& image, io::Ring& ring) {
  constexpr std::uint64_t most_content = 8 * io::MiB;
  constexpr std::uint64_t piece = io::MiB;
  const io::AlignedMemory memory(piece);
  const std::uint64_t end = std::min(*image.size(), most_content);
  for (std::uint64_t at = 0; at < end; at += piece) {
    const io::ByteRange range = io::range_between(at, std::min(at + piece, end));
    (void)image.extent_at(at);
    (void)image.placement_at(at);
    io::run_task(ring, image.read(range, memory.buffer()));
  }
}

inline std::unique_ptr<io::File> memory_file() {
  return std::make_unique<io::File>(io::FileDescriptor(memfd_create("fuzz", MFD_CLOEXEC)), "fuzz");
}

inline int try_block_image(Format format, std::unique_ptr<io::File> file) {
  static const io::MadeRing made = io::make_ring({io::Engine::threads, 4, 1});
  try {
    (void)read_block_facts(*file, format);
  } catch (const io::Error&) {
  }
  try {
    BlockCheck check([](const std::string&) {});
    check_block_image(*file, format, check);
    const BlockCheckResult& found = check.result();
    if (found.leaked_bytes > file->size() || found.image_end > file->size()) std::abort();
  } catch (const io::Error&) {
  }
  try {
    walk(*open_block_map(*file, format), file->size());
  } catch (const io::Error&) {
  }
  try {
    auto map = open_block_map(*file, format);
    BlockImage image(*made.ring, format, std::move(file), std::move(map), false, nullptr);
    read_all(image, *made.ring);
  } catch (const io::Error&) {
  }
  return 0;
}

inline int try_block_image(Format format, std::span<const std::uint8_t> content) {
  auto file = memory_file();
  file->write_at(0, std::as_bytes(content));
  return try_block_image(format, std::move(file));
}

}  // namespace formats::fuzz
