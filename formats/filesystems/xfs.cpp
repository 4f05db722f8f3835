#include "formats/filesystems/xfs.hpp"

#include "formats/filesystems/doubt.hpp"
#include "formats/filesystems/uuid_text.hpp"
#include "formats/filesystems/xfs/free_space.hpp"
#include "formats/filesystems/xfs/log.hpp"
#include "formats/filesystems/xfs/superblock.hpp"
#include "io/error.hpp"

namespace formats::filesystems {
namespace {

// The superblock counts what is free in all AGs. Without lazy counting, blocks of the trees may
// or may not be among them.
void check_total(const xfs::Geometry& geometry, const xfs::FreeSpace& space) {
  const std::uint64_t least = space.blocks.count() + space.reserved;
  const bool fits = geometry.free_blocks == least + space.in_trees ||
                    (!geometry.counts_lazily && geometry.free_blocks == least);
  if (!fits) {
    throw Doubt{"its superblock counts other free blocks than its free space trees have",
                std::string(xfs::repair)};
  }
}

void check_used(const xfs::Geometry& geometry, const xfs::FreeSpace& space) {
  if (space.blocks.have_any_of(geometry.log_block, geometry.log_blocks) ||
      space.blocks.have_any_of(geometry.root_block, 1)) {
    throw Doubt{"its free space trees call its log or root directory free",
                std::string(xfs::repair)};
  }
}

void map(DiskView& container, FileSystem& found) {
  const xfs::Geometry geometry = xfs::read_geometry(container);
  found.size = geometry.size();
  found.block_size = geometry.block_size;
  const xfs::LogState log = xfs::read_log(container, geometry);
  xfs::FreeSpace space = xfs::read_free_space(container, geometry);
  if (!log.is_frozen) check_total(geometry, space);
  check_used(geometry, space);
  found.free = std::move(space.blocks).take();
  found.witnesses = log.witnesses;
  found.witnesses.push_back({0, geometry.sector_size});
}

}  // namespace

std::optional<FileSystem> probe_xfs(DiskView& container) {
  constexpr std::size_t smallest_sector = 512;
  if (!container.holds(0, smallest_sector)) return std::nullopt;
  const std::vector<std::byte> sector = container.read(0, smallest_sector);
  if (!xfs::has_magic(sector)) return std::nullopt;

  FileSystem found;
  found.type = "xfs";
  found.label = xfs::label_of(sector);
  found.uuid = uuid_text(std::span(sector).subspan(32, 16));
  found.size = xfs::claimed_size(sector);
  try {
    map(container, found);
  } catch (const Doubt& doubt) {
    found.kept_because = doubt.because;
    found.remedy = doubt.remedy;
    found.needs_replay = doubt.needs_replay;
  } catch (const io::Error& error) {
    if (error.kind() != io::ErrorKind::format) throw;
    found.kept_because = std::string("it is damaged: ") + error.what();
    found.remedy = std::string(xfs::repair);
  }
  return found;
}

}  // namespace formats::filesystems
