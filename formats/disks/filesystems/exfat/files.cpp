#include "formats/disks/filesystems/exfat/files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/disks/filesystems/dos_time.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/exfat/directory.hpp"
#include "formats/disks/filesystems/exfat/volume.hpp"
#include "formats/disks/filesystems/piece_list.hpp"
#include "io/error.hpp"

namespace formats::filesystems::exfat {
namespace {

constexpr unsigned stream_type = 0xc0;
constexpr unsigned name_type = 0xc1;
constexpr unsigned directory = 0x10, read_only = 0x01;  // attributes

unsigned u8(const EntrySet& bytes, std::size_t at) { return std::to_integer<unsigned>(bytes[at]); }

// The name of a file, from the entries behind its second one.
std::string name_in(const EntrySet& set) {
  std::vector<std::byte> text;
  for (std::size_t at = 2 * entry_bytes; at < set.size(); at += entry_bytes) {
    if (u8(set, at) != name_type) continue;
    const auto part = std::span(set).subspan(at + 2, entry_bytes - 2);
    text.insert(text.end(), part.begin(), part.end());
  }
  text.resize(std::min<std::size_t>(text.size(), std::size_t{2} * u8(set, entry_bytes + 3)));
  return utf8_from_utf16(text);
}

class ExfatFiles final : public FileTree {
 public:
  explicit ExfatFiles(DiskView& view)
      : view_(view), volume_(read_volume(view, StateCheck::any)), table_(view.part(volume_.table)) {
    if (volume_.dirty) warning_ = "is in use, or was not unmounted: some of it may not fit";
  }

  NodeId root() const override { return {}; }
  bool folds_case() const override { return true; }

  Node look_at(NodeId id) override {
    Node node;
    if (id == root()) {
      node.kind = NodeKind::folder;
      node.permissions = 0755;
      for (const ClusterRun& run : runs_of(id)) node.stored += bytes_of(run);
      return node;
    }
    const EntrySet file = view_.read(id.number, entry_bytes);
    const EntrySet stream = view_.read(id.tree, entry_bytes);
    const unsigned attributes = load_little_endian<std::uint16_t>(file, 4);
    const bool is_folder = (attributes & directory) != 0;
    const auto length = load_little_endian<std::uint64_t>(stream, 24);
    node.kind = is_folder ? NodeKind::folder : NodeKind::file;
    node.permissions =
        (is_folder ? 0755U : 0644U) & ((attributes & read_only) != 0 ? 0555U : 0777U);
    node.size = is_folder ? 0 : length;
    node.stored = io::align_up(std::min(length, volume_.size), volume_.cluster_size);
    node.modified = seconds_of_dos_time(load_little_endian<std::uint32_t>(file, 12));
    // Quarters of an hour east of UTC, in 7 bits with a sign.
    const int zone = static_cast<int>(u8(file, 23));
    if (zone >= 128 && node.modified != 0) {
      node.modified -= std::int64_t{zone >= 192 ? zone - 256 : zone - 128} * 15 * 60;
    }
    return node;
  }

  void list(NodeId folder, const EntryVisitor& visit) override {
    DirectoryReader reader(view_, volume_, runs_of(folder));
    while (const auto set = reader.next()) {
      if (type_of(*set) != entry_type::file) continue;
      if (set->size() < 2 * entry_bytes || u8(*set, entry_bytes) != stream_type) {
        throw Doubt(Reason::damaged, "has a file whose entry tells of no clusters", remedy_check);
      }
      const std::string name = name_in(*set);
      const auto [first, second] = reader.places();
      if (!name.empty() && name != "." && name != ".." && !visit({name, {first, second}})) return;
    }
  }

  FileMap map_of(NodeId id) override {
    FileMap map;
    const Node node = look_at(id);
    if (node.kind != NodeKind::file) return map;
    const EntrySet stream = view_.read(id.tree, entry_bytes);
    const auto valid = std::min(load_little_endian<std::uint64_t>(stream, 8), node.size);
    map.size = valid;  // what lies behind it was never written
    std::uint64_t offset = 0;
    for (const ClusterRun& run : runs_of(id)) {
      append_piece(map, offset, volume_.offset_of(run.first), bytes_of(run));
      offset += bytes_of(run);
    }
    map.size = node.size;
    return map;
  }

 private:
  [[nodiscard]] std::uint64_t bytes_of(const ClusterRun& run) const {
    return std::uint64_t{run.count} * volume_.cluster_size;
  }

  [[noreturn]] void damaged(NodeId id, std::string_view what) const {
    throw io::Error::format(
        view_.name(), view_.begin() + id.number,
        fmt::format("the file whose directory entry is here {}; {}", what, remedy_check));
  }

  [[nodiscard]] std::vector<ClusterRun> runs_of(NodeId id) {
    Allocation allocation{volume_.root_cluster, std::nullopt, false};
    if (id != root()) allocation = allocation_in(view_.read(id.tree, entry_bytes), 0);
    if (allocation.length && *allocation.length == 0) return {};
    const std::uint64_t cluster_size = volume_.cluster_size;
    std::uint64_t left = volume_.clusters;
    if (allocation.length) left = (*allocation.length - 1) / cluster_size + 1;
    if (left > volume_.clusters ||
        !volume_.has(allocation.first, allocation.contiguous ? left : 1)) {
      damaged(id, "begins in a cluster that does not exist, or is too long");
    }
    if (allocation.contiguous) return {{allocation.first, static_cast<std::uint32_t>(left)}};
    return chain(id, allocation.first, left, allocation.length.has_value());
  }

  // At most `left` clusters; `exact`: so many.
  std::vector<ClusterRun> chain(NodeId id, std::uint32_t cluster, std::uint64_t left, bool exact) {
    std::vector<ClusterRun> runs;
    for (; left > 0; --left) {
      if (!runs.empty() && runs.back().first + runs.back().count == cluster) {
        ++runs.back().count;
      } else if (runs.size() == most_pieces) {
        damaged(id, "is in more pieces than imgtool reads");
      } else {
        runs.push_back({cluster, 1});
      }
      const auto next =
          load_little_endian<std::uint32_t>(table_.read(std::uint64_t{cluster} * 4, 4), 0);
      constexpr std::uint32_t last_of_chain = 0xffffffff;
      if (left == 1 || (next == last_of_chain && !exact)) return runs;
      if (!volume_.has(next)) damaged(id, "leads to a cluster that does not exist");
      cluster = next;
    }
    return runs;
  }

  DiskView& view_;
  Volume volume_;
  DiskView table_;
};

}  // namespace

std::unique_ptr<FileTree> open_files(DiskView& volume) {
  return std::make_unique<ExfatFiles>(volume);
}

}  // namespace formats::filesystems::exfat
