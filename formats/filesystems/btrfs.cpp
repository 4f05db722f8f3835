#include "formats/filesystems/btrfs.hpp"

#include "formats/filesystems/btrfs/extent_map.hpp"
#include "formats/filesystems/btrfs/superblock.hpp"
#include "formats/filesystems/doubt.hpp"
#include "formats/filesystems/uuid_text.hpp"
#include "io/error.hpp"

namespace formats::filesystems {
namespace {

void map(DiskView& container, std::span<const std::byte> bytes, FileSystem& found) {
  const btrfs::Superblock super = btrfs::parse_superblock(bytes, container.size());
  found.block_size = super.sector_size;
  found.free = btrfs::find_free(container, super);
  found.witnesses = {{btrfs::superblock_offset, btrfs::superblock_size}};  // has the generation
}

}  // namespace

std::optional<FileSystem> probe_btrfs(DiskView& container) {
  if (!container.holds(btrfs::superblock_offset, btrfs::superblock_size)) return std::nullopt;
  const std::vector<std::byte> bytes =
      container.read(btrfs::superblock_offset, btrfs::superblock_size);
  if (!btrfs::has_magic(bytes)) return std::nullopt;

  FileSystem found;
  found.type = "btrfs";
  found.label = btrfs::label_of(bytes);
  found.uuid = uuid_text(std::span(bytes).subspan(32, 16));
  found.size = btrfs::claimed_size(bytes);
  try {
    map(container, bytes, found);
  } catch (const Doubt& doubt) {
    found.kept_because = doubt.because;
    found.remedy = doubt.remedy;
    found.needs_replay = doubt.needs_replay;
  } catch (const io::Error& error) {
    if (error.kind() != io::ErrorKind::format) throw;
    found.kept_because = std::string("it is damaged: ") + error.what();
    found.remedy = std::string(btrfs::repair);
  }
  return found;
}

}  // namespace formats::filesystems
