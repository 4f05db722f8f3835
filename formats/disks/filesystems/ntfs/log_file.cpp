#include "formats/disks/filesystems/ntfs/log_file.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::ntfs {
namespace {

constexpr std::uint32_t restart_magic = 0x52545352;          // "RSTR"
constexpr std::uint32_t checked_restart_magic = 0x444b4843;  // "CHKD": chkdsk wrote it
constexpr std::size_t least_page = 512;
constexpr std::size_t most_page = 64 * io::KiB;

struct RestartPage {
  unsigned major = 0;
  std::uint64_t sequence = 0;  // the newer page has the higher one
  bool clean = false;
};

[[noreturn]] void damaged_log() {
  throw Doubt(Reason::damaged, "its log ($LogFile) is damaged", remedy_check);
}

bool all_ones(const std::vector<std::byte>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0xff}; });
}

// Drivers for Linux fill all of it. What Windows writes first is at the beginning, and pages come
// before each power of two.
bool is_empty(Stream& log) {
  const std::uint64_t begin = std::min<std::uint64_t>(log.size, 64 * io::KiB);
  if (!all_ones(log.read(0, begin))) return false;
  for (std::uint64_t at = begin; at < log.size; at *= 2) {
    if (!all_ones(log.read(at, std::min<std::uint64_t>(4096, log.size - at)))) return false;
  }
  return true;
}

RestartPage read_page(Stream& log, std::uint64_t at, std::size_t page_size) {
  if (page_size > log.size || at > log.size - page_size) damaged_log();
  std::vector<std::byte> page = log.read(at, page_size);
  const auto magic = load_little_endian<std::uint32_t>(page, 0);
  if (magic != restart_magic && magic != checked_restart_magic) damaged_log();
  if (!undo_fixup(page)) damaged_log();
  const std::size_t area_at = load_little_endian<std::uint16_t>(page, 24);
  if (area_at < 30 || area_at % 8 != 0 || area_at > page_size - 48) damaged_log();
  const std::span<const std::byte> area = std::span(page).subspan(area_at);

  RestartPage result;
  result.major = load_little_endian<std::uint16_t>(page, 28);
  result.sequence = load_little_endian<std::uint64_t>(area, 0);
  if (magic == checked_restart_magic) result.sequence = load_little_endian<std::uint64_t>(page, 8);
  const bool no_client = load_little_endian<std::uint16_t>(area, 12) == 0xffff;
  result.clean = no_client || (load_little_endian<std::uint16_t>(area, 14) & 2) != 0;
  return result;
}

}  // namespace

void check_log(Stream log) {
  if (log.size < 2 * least_page || log.initialized != log.size) damaged_log();
  if (is_empty(log)) return;
  const std::size_t page_size = load_little_endian<std::uint32_t>(log.read(0, 64), 16);
  if (!std::has_single_bit(page_size) || page_size < least_page || page_size > most_page) {
    damaged_log();
  }
  const RestartPage first = read_page(log, 0, page_size);
  const RestartPage second = read_page(log, page_size, page_size);
  const unsigned major = std::max(first.major, second.major);
  if (major == 2) {
    throw Doubt(Reason::hibernated,
                "Windows is hibernated, was shut down with fast startup, or was not shut down",
                remedy_shutdown);
  }
  if (major != 1)
    throw Doubt(Reason::unsupported, fmt::format("its log has the unknown version {}", major));
  const bool clean = first.sequence == second.sequence  ? first.clean && second.clean
                     : first.sequence > second.sequence ? first.clean
                                                        : second.clean;
  if (!clean) {
    throw Doubt(Reason::hibernated,
                "Windows has it in use, is hibernated, or was not shut down (its log has not come "
                "to an end)",
                remedy_shutdown);
  }
}

}  // namespace formats::filesystems::ntfs
