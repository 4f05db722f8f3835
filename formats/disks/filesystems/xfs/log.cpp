#include "formats/disks/filesystems/xfs/log.hpp"

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/log_record.hpp"
#include "formats/disks/filesystems/xfs/log_ring.hpp"

namespace formats::filesystems::xfs {
namespace {

[[noreturn]] void unclear() { cannot_replay("its log's end cannot be told"); }

// Whether the tail that a record names lies before the end, in the round that it says.
bool has_sound_tail(const LogRing& ring, const LogEnd& end, const LogRecord& last) {
  if (last.tail_block >= ring.blocks()) return false;
  const bool is_before = end.block == 0 || last.tail_block < end.block;
  return last.tail_cycle == (is_before ? end.cycle_before : end.cycle_before - 1);
}

// All that recovery would do is to write the superblock anew.
bool is_frozen(LogRing& ring, const LogEnd& end, const LogRecord& last, const Geometry& geometry) {
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

LogState read_log(DiskView& volume, const Geometry& geometry) {
  LogRing ring(volume, geometry);
  const LogEnd end = find_end(ring);
  LogState state{.replay_from = std::nullopt, .end = end, .is_frozen = false, .witnesses = {}};
  if (end.is_unused) {
    state.witnesses = traces(ring, 0, 0);
    return state;
  }
  if (!end.last_header) unclear();
  const LogRecord last = read_record(ring, *end.last_header, geometry);
  if (ring.wrapped(std::uint64_t{last.block} + last.blocks) != end.block) unclear();
  state.witnesses = traces(ring, last.block, end.block);
  if (is_unmount(last)) return state;
  if (!has_sound_tail(ring, end, last)) unclear();
  state.is_frozen = is_frozen(ring, end, last, geometry);
  if (!state.is_frozen) state.replay_from = last.tail_block;
  return state;
}

void cannot_replay(std::string_view why) {
  throw Doubt(Reason::needs_replay, fmt::format("{}: it is mounted, or was not unmounted", why),
              "mount and unmount it, or freeze it while it is read (fsfreeze)");
}

void check_log(bool holds) {
  if (!holds) cannot_replay("its log is damaged");
}

}  // namespace formats::filesystems::xfs
