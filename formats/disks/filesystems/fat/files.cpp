#include "formats/disks/filesystems/fat/files.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/disks/filesystems/dos_time.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/fat/boot_sector.hpp"
#include "formats/disks/filesystems/fat/directory_entry.hpp"
#include "formats/disks/filesystems/fat/remedy.hpp"
#include "formats/disks/filesystems/fat/table.hpp"
#include "formats/disks/filesystems/piece_list.hpp"
#include "io/error.hpp"

namespace formats::filesystems::fat {
namespace {

using Bytes = std::span<const std::byte>;

unsigned u8(Bytes bytes, std::size_t at) { return std::to_integer<unsigned>(bytes[at]); }

// "README  TXT" as "README.TXT", in lower case where the entry says that it was typed so.
std::string short_name(Bytes entry) {
  constexpr unsigned lower_name = 0x08, lower_suffix = 0x10;
  const auto part = [&](std::size_t at, std::size_t length, bool lower) {
    std::string text;
    for (const std::byte byte : entry.subspan(at, length)) {
      char c = static_cast<char>(byte);
      if (lower && c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
      text += c;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  };
  std::string name = part(0, 8, (u8(entry, 12) & lower_name) != 0);
  if (!name.empty() && name[0] == '\x05') name[0] = '\xe5';
  const std::string suffix = part(8, 3, (u8(entry, 12) & lower_suffix) != 0);
  return suffix.empty() ? name : name + '.' + suffix;
}

// The pieces of a long name, which come in front of the short one, its end first.
class LongName {
 public:
  void clear() { expected_ = 0; }

  void add(Bytes entry) {
    constexpr unsigned last = 0x40;
    const unsigned order = u8(entry, 0);
    const unsigned number = order & 0x3f;
    if ((order & last) != 0) {
      expected_ = number;
      checksum_ = u8(entry, 13);
      text_.assign(std::size_t{number} * piece_bytes, std::byte{0xff});
    }
    if (number == 0 || number != expected_ || u8(entry, 13) != checksum_) return clear();
    auto out = text_.begin() + static_cast<std::ptrdiff_t>((number - 1) * piece_bytes);
    for (const auto& [at, length] : {std::pair{1, 10}, std::pair{14, 12}, std::pair{28, 4}}) {
      out = std::copy_n(entry.begin() + at, length, out);
    }
    --expected_;
    complete_ = expected_ == 0;
  }

  // The name of `entry`, if it is its.
  [[nodiscard]] std::string of(Bytes entry) {
    if (!complete_) return "";
    complete_ = false;
    unsigned sum = 0;
    for (const std::byte byte : entry.first(11)) {
      sum = ((sum >> 1) + ((sum & 1) << 7) + std::to_integer<unsigned>(byte)) & 0xff;
    }
    return sum == checksum_ ? utf8_from_utf16(text_) : "";
  }

 private:
  static constexpr std::size_t piece_bytes = 26;

  std::vector<std::byte> text_;
  unsigned expected_ = 0;  // the number of the piece that must come next
  unsigned checksum_ = 0;
  bool complete_ = false;
};

class FatFiles final : public FileTree {
 public:
  FatFiles(DiskView& volume, const BootSector& boot)
      : volume_(volume), boot_(boot), table_(volume, boot, boot.only_table.value_or(0)) {
    if (boot.dirty) warning_ = "is in use, or was not unmounted: some of it may not fit";
  }

  NodeId root() const override { return {}; }
  bool folds_case() const override { return true; }

  Node look_at(NodeId id) override {
    Node node;
    if (id == root()) {
      node.kind = NodeKind::folder;
      node.permissions = 0755;
      node.stored =
          boot_.width == Width::fat32 ? chain_bytes(boot_.root_cluster) : boot_.root.length;
      return node;
    }
    const auto entry = entry_at(id);
    const unsigned attributes = u8(entry, 11);
    const bool is_folder = (attributes & directory) != 0;
    node.kind = is_folder ? NodeKind::folder : NodeKind::file;
    node.permissions =
        (is_folder ? 0755U : 0644U) & ((attributes & read_only) != 0 ? 0555U : 0777U);
    node.size = is_folder ? 0 : load_little_endian<std::uint32_t>(entry, 28);
    node.stored =
        is_folder ? chain_bytes(first_cluster(entry)) : io::align_up(node.size, boot_.cluster_size);
    node.modified = seconds_of_dos_time(load_little_endian<std::uint32_t>(entry, 22));
    return node;
  }

  void list(NodeId folder, const EntryVisitor& visit) override {
    long_name_.clear();
    if (folder == root() && boot_.width != Width::fat32) {
      (void)entries(boot_.root, visit);
      return;
    }
    std::uint32_t cluster = boot_.root_cluster;
    if (folder != root()) {
      const auto entry = entry_at(folder);
      if ((u8(entry, 11) & directory) == 0) damaged(folder.number, "is no directory");
      cluster = first_cluster(entry);
    }
    std::uint64_t length = 0;
    follow(cluster, folder.number, [&](std::uint32_t one) {
      length += boot_.cluster_size;
      if (length > longest_directory) damaged(folder.number, "is longer than 65536 entries");
      return entries({boot_.offset_of(one), boot_.cluster_size}, visit);
    });
  }

  FileMap map_of(NodeId id) override {
    FileMap map;
    if (id == root()) return map;
    const auto entry = entry_at(id);
    if ((u8(entry, 11) & directory) != 0) return map;
    map.size = load_little_endian<std::uint32_t>(entry, 28);
    if (map.size == 0) return map;
    std::uint64_t offset = 0;
    follow(first_cluster(entry), id.number, [&](std::uint32_t cluster) {
      append_piece(map, offset, boot_.offset_of(cluster), boot_.cluster_size);
      offset += boot_.cluster_size;
      return offset < map.size;
    });
    if (offset < map.size) damaged(id.number, "is longer than its clusters");
    return map;
  }

 private:
  [[noreturn]] void damaged(std::uint64_t place, std::string_view what) const {
    throw io::Error::format(
        volume_.name(), volume_.begin() + place,
        fmt::format("the file whose directory entry is here {}; {}", what, remedy_check));
  }

  std::vector<std::byte> entry_at(NodeId id) { return volume_.read(id.number, entry_bytes); }

  [[nodiscard]] std::uint32_t first_cluster(Bytes entry) const {
    std::uint32_t cluster = load_little_endian<std::uint16_t>(entry, 26);
    if (boot_.width == Width::fat32) {
      cluster |= std::uint32_t{load_little_endian<std::uint16_t>(entry, 20)} << 16;
    }
    return cluster;
  }

  // Gives the clusters of a chain until `take` has enough; never more than there are. `place`: of
  // the entry that it belongs to.
  template <class Take>
  void follow(std::uint32_t cluster, std::uint64_t place, const Take& take) {
    for (std::uint32_t count = 0;; ++count) {
      if (!boot_.has(cluster)) damaged(place, "leads to a cluster that does not exist");
      if (count == boot_.clusters) damaged(place, "has clusters that go round in circles");
      if (!take(cluster)) return;
      const fat::Entry next = table_.at(cluster);
      if (!next.has_next()) return;
      cluster = next.value;
    }
  }

  // Of a directory; what cannot be followed is told when it is listed.
  std::uint64_t chain_bytes(std::uint32_t cluster) {
    std::uint64_t length = 0;
    for (; boot_.has(cluster) && length < longest_directory; length += boot_.cluster_size) {
      const fat::Entry next = table_.at(cluster);
      cluster = next.has_next() ? next.value : 0;
    }
    return length;
  }

  // False: the directory ends here, or enough was seen.
  bool entries(io::ByteRange range, const EntryVisitor& visit) {
    constexpr std::uint64_t at_once = 64 * io::KiB;
    for (std::uint64_t at = 0; at < range.length; at += at_once) {
      const auto bytes = volume_.read(range.offset + at, std::min(at_once, range.length - at));
      for (std::size_t i = 0; i + entry_bytes <= bytes.size(); i += entry_bytes) {
        const Bytes entry = Bytes(bytes).subspan(i, entry_bytes);
        if (u8(entry, 0) == 0 || !one(entry, range.offset + at + i, visit)) return false;
      }
    }
    return true;
  }

  bool one(Bytes entry, std::uint64_t place, const EntryVisitor& visit) {
    const unsigned attributes = u8(entry, 11) & 0x3f;
    if (u8(entry, 0) == 0xe5) {
      long_name_.clear();
      return true;
    }
    if (attributes == long_name) {
      long_name_.add(entry);
      return true;
    }
    std::string name = long_name_.of(entry);
    if (name.empty()) name = short_name(entry);
    long_name_.clear();
    if ((attributes & volume_label) != 0 || name.empty() || name == "." || name == "..")
      return true;
    return visit({name, {place, 0}});
  }

  DiskView& volume_;
  BootSector boot_;
  Table table_;
  LongName long_name_;
};

}  // namespace

std::unique_ptr<FileTree> open_files(DiskView& volume) {
  const auto boot = parse_boot_sector(volume.read(0, boot_sector_bytes));
  if (!boot) throw Doubt(Reason::damaged, "has no boot sector", remedy_check);
  if (!volume.holds(0, boot->first_cluster)) {
    throw Doubt(Reason::cut_off, "ends inside its tables", "take the image again");
  }
  return std::make_unique<FatFiles>(volume, *boot);
}

}  // namespace formats::filesystems::fat
