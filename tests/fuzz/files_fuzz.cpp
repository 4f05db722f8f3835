// A disk of a few sectors, whose files are read by the parser that the input's first byte chooses.
// For the rest of the input see file_system_fuzz.hpp; all corpora there fit behind that byte.
#include <array>

#include "formats/disks/file_survey.hpp"
#include "formats/disks/filesystems/files.hpp"
#include "tests/fuzz/file_system_fuzz.hpp"

namespace formats::filesystems {
namespace {

constexpr std::array<std::string_view, 6> types = {"ext4", "vfat", "exfat", "ntfs", "xfs", "btrfs"};
constexpr std::uint64_t most_reads = 20'000;  // then it is told to stop
constexpr std::size_t most_maps = 200;

void check_map(const FileMap& map) {
  std::uint64_t end = 0;
  for (const FilePiece& piece : map.pieces) {
    must_hold(!piece.range.empty() && piece.range.offset >= end);
    must_hold(piece.range.offset < map.size && piece.range.length <= map.size - piece.range.offset);
    if (piece.coding != Coding::none) {
      must_hold(piece.skipped + piece.range.length <= piece.decoded);
      must_hold(piece.parts <= map.parts.size() &&
                piece.first_part <= map.parts.size() - piece.parts);
    }
    end = piece.range.end();
  }
}

// Names are what they may be, whatever they hold; maps lie inside their files.
void look_at_root(FileTree& tree) {
  std::vector<NodeId> ids;
  tree.list(tree.root(), [&](const Entry& entry) {
    must_hold(!entry.name.empty() && entry.name != "." && entry.name != "..");
    ids.push_back(entry.id);
    return ids.size() < most_maps;
  });
  for (const NodeId id : ids) {
    try {
      (void)tree.look_at(id);
      check_map(tree.map_of(id));
    } catch (const io::Error&) {
    }
  }
}

void run(std::string_view type, std::span<const std::byte> input) {
  SparseDisk disk = disk_from(input);
  io::StopFlag stop{0};
  disk.on_read = [&] {
    if (disk.reads > most_reads) stop = 1;
  };
  DiskView view(shared_ring(), disk, &stop);
  try {
    const auto tree = open_files(view, type);
    look_at_root(*tree);
    const FileSurvey survey = survey_files(*tree, 10, {}, &stop);
    must_hold(survey.largest_files.size() <= 10 && !survey.picture.empty());
  } catch (const io::Error&) {
  }
}

}  // namespace
}  // namespace formats::filesystems

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto type = formats::filesystems::types[data[0] % formats::filesystems::types.size()];
  formats::filesystems::run(type, std::as_bytes(std::span(data + 1, size - 1)));
  return 0;
}
