#include "formats/filesystems/xfs/log.hpp"

#include "formats/filesystems/doubt.hpp"
#include "formats/filesystems/xfs/log_record.hpp"
#include "formats/filesystems/xfs/log_ring.hpp"

namespace formats::filesystems::xfs {
namespace {

[[noreturn]] void dirty() {
  throw Doubt::until_replay(
      "its log holds changes that are not in their place yet: it is mounted, or was not unmounted",
      "mount and unmount it, or freeze it while it is read (fsfreeze)");
}

// All that recovery would do is to write the superblock anew.
bool is_frozen(LogRing& ring, const LogEnd& end, const LogRecord& last, const Geometry& geometry) {
  if (last.tail_block >= ring.blocks()) return false;
  const bool is_before = end.block == 0 || last.tail_block < end.block;
  if (last.tail_cycle != (is_before ? end.cycle_before : end.cycle_before - 1)) return false;
  std::uint32_t left = ring.wrapped(std::uint64_t{end.block} + ring.blocks() - last.tail_block);
  if (left == 0 || left > end.window) return false;
  for (std::uint32_t block = last.tail_block; left > 0;) {
    const LogRecord record = read_record(ring, block, geometry);
    if (record.blocks > left || !changes_superblock_only(record)) return false;
    left -= record.blocks;
    block = ring.wrapped(std::uint64_t{block} + record.blocks);
  }
  return true;
}

// From a record up to the end and a few blocks further: every write to the log changes it, be it
// after many rounds.
std::vector<io::ByteRange> traces(LogRing& ring, std::uint32_t from, std::uint32_t end) {
  constexpr std::uint32_t after = 8;
  const std::uint32_t before = ring.wrapped(std::uint64_t{end} + ring.blocks() - from);
  return ring.place(from, std::min(before + after, ring.blocks()));
}

}  // namespace

LogState read_log(DiskView& container, const Geometry& geometry) {
  LogRing ring(container, geometry);
  const LogEnd end = find_end(ring);
  if (end.is_unused) return {.is_frozen = false, .witnesses = traces(ring, 0, 0)};
  if (!end.last_header) dirty();
  const LogRecord last = read_record(ring, *end.last_header, geometry);
  if (ring.wrapped(std::uint64_t{last.block} + last.blocks) != end.block) dirty();
  LogState state{.is_frozen = false, .witnesses = traces(ring, last.block, end.block)};
  if (!is_unmount(last)) {
    if (!is_frozen(ring, end, last, geometry)) dirty();
    state.is_frozen = true;
  }
  return state;
}

}  // namespace formats::filesystems::xfs
