#include "formats/disks/filesystems/ntfs/files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ntfs/file_attributes.hpp"
#include "formats/disks/filesystems/piece_list.hpp"
#include "io/error.hpp"

namespace formats::filesystems::ntfs {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t root_record = 5;
constexpr std::u16string_view index_name = u"$I30";  // of a directory's names
constexpr std::uint64_t record_mask = 0x0000ffffffffffff;

// What a reparse point stands for.
namespace reparse_tag {
constexpr std::uint32_t mount_point = 0xa0000003;
constexpr std::uint32_t symbolic_link = 0xa000000c;
constexpr std::uint32_t compressed_system_file = 0x80000017;  // WOF
constexpr std::uint32_t deduplicated = 0x80000013;
}  // namespace reparse_tag

std::uint16_t u16(Bytes bytes, std::size_t at) {
  return load_little_endian<std::uint16_t>(bytes, at);
}
std::uint32_t u32(Bytes bytes, std::size_t at) {
  return load_little_endian<std::uint32_t>(bytes, at);
}
std::uint64_t u64(Bytes bytes, std::size_t at) {
  return load_little_endian<std::uint64_t>(bytes, at);
}

std::uint32_t tag_of(const FileAttributes& file) {
  const Attribute* const reparse = file.find(AttributeType::reparse_point);
  if (reparse == nullptr || !reparse->resident || reparse->value.size() < 8) return 0;
  return u32(reparse->value, 0);
}

bool is_link(std::uint32_t tag) {
  return tag == reparse_tag::mount_point || tag == reparse_tag::symbolic_link;
}

// The name that a link shows, with the slashes of paths here.
std::string target_of(Bytes reparse) {
  // Tag, length; then where the two names lie, and behind that of a symbolic link its flags.
  const std::size_t names = u32(reparse, 0) == reparse_tag::symbolic_link ? 20 : 16;
  if (reparse.size() < names) return "";
  const auto name = [&](std::size_t at) -> std::string {
    const std::size_t offset = names + u16(reparse, at), length = u16(reparse, at + 2);
    if (offset > reparse.size() || length > reparse.size() - offset) return "";
    return utf8_from_utf16(reparse.subspan(offset, length));
  };
  std::string text = name(12);
  if (text.empty()) text = name(8);
  std::replace(text.begin(), text.end(), '\\', '/');
  return text;
}

class NtfsFiles final : public FileTree {
 public:
  NtfsFiles(DiskView& volume, const Geometry& geometry)
      : volume_(volume), geometry_(geometry), mft_(volume, geometry_) {
    records_ = mft_.data().capacity() / geometry_.record_size;
    budget_.left = 16 * records_ + 65536;
    const Record record = mft_.record(3);
    const Attribute* const information = record.find(AttributeType::volume_information);
    if (information != nullptr && information->value.size() >= 12 &&
        (u16(information->value, 10) & 1) != 0) {
      warning_ = "is in use, or was not unmounted: some of it may not fit";
    }
  }

  NodeId root() const override { return {root_record, 0}; }
  bool folds_case() const override { return true; }

  Node look_at(NodeId id) override {
    const FileAttributes file = open(id);
    Node node;
    const std::uint32_t tag = tag_of(file);
    node.kind = is_link(tag)                 ? NodeKind::link
                : file.base().is_directory() ? NodeKind::folder
                                             : NodeKind::file;
    const Attribute* const data = file.find(AttributeType::data);
    if (node.kind == NodeKind::file && data != nullptr) {
      node.size = data->resident ? data->value.size() : data->size;
    }
    if (node.kind == NodeKind::link) node.size = link_target(file).size();
    node.stored = file.stored();
    node.links = file.base().links();
    node.permissions = node.kind == NodeKind::file ? 0644 : 0755;
    const Attribute* const standard = file.find(AttributeType::standard_information);
    if (standard != nullptr && standard->value.size() >= 36) {
      // Units of 100 ns since 1601.
      constexpr std::int64_t from_1601 = 11644473600;
      node.modified = static_cast<std::int64_t>(u64(standard->value, 8) / 10'000'000) - from_1601;
      if ((u32(standard->value, 32) & 1) != 0) node.permissions &= 0555U;
    }
    return node;
  }

  void list(NodeId folder, const EntryVisitor& visit) override {
    const FileAttributes file = open(folder);
    const Attribute* const root = file.find(AttributeType::index_root, index_name);
    if (root == nullptr || !root->resident || root->value.size() < 32) {
      damaged(folder, "is no directory");
    }
    constexpr std::size_t header = 16;
    if (!entries(root->value.subspan(header), folder, visit)) return;
    if (file.find(AttributeType::index_allocation, index_name) != nullptr) {
      index_blocks(file, folder, u32(root->value, 8), visit);
    }
  }

  FileMap map_of(NodeId id) override {
    const FileAttributes file = open(id);
    FileMap map;
    const std::uint32_t tag = tag_of(file);
    if (is_link(tag)) {
      const std::string text = link_target(file);
      const auto bytes = std::as_bytes(std::span(text));
      map.in_line.assign(bytes.begin(), bytes.end());
      map.size = text.size();
      return map;
    }
    if (tag == reparse_tag::compressed_system_file || tag == reparse_tag::deduplicated) {
      unsupported(id, tag == reparse_tag::deduplicated
                          ? "was deduplicated by Windows Server"
                          : "is compressed as Windows' own files are (compact /exe)");
    }
    const Attribute* const data = file.find(AttributeType::data);
    if (file.base().is_directory() || data == nullptr) return map;
    if ((data->flags & flag_encrypted) != 0) unsupported(id, "is encrypted (EFS)");
    if (data->resident) {
      map.in_line.assign(data->value.begin(), data->value.end());
      map.size = data->value.size();
      return map;
    }
    take_runs(file, *data, id, map);
    return map;
  }

 private:
  [[noreturn]] void damaged(NodeId id, std::string_view what) {
    std::uint64_t place = 0;
    for (const io::ByteRange& range : mft_.data().places((id.number + 1) * geometry_.record_size)) {
      place = range.end() - geometry_.record_size;
    }
    throw io::Error::format(
        volume_.name(), volume_.begin() + place,
        fmt::format("the file of record {} {}; {}", id.number, what, remedy_check));
  }
  [[noreturn]] void unsupported(NodeId id, std::string_view what) const {
    throw io::Error(io::ErrorKind::unsupported, volume_.name(),
                    fmt::format("the file of record {} {}", id.number, what));
  }

  FileAttributes open(NodeId id) { return {volume_, mft_, id.number, budget_}; }

  [[nodiscard]] static std::string link_target(const FileAttributes& file) {
    return target_of(file.find(AttributeType::reparse_point)->value);
  }

  // The names of a directory that do not fit into its record. Which of the blocks are in use, a
  // bitmap says.
  void index_blocks(const FileAttributes& file, NodeId folder, std::uint32_t block_size,
                    const EntryVisitor& visit) {
    if (block_size < 512 || block_size > 65536 || block_size % 512 != 0) {
      damaged(folder, "has an index of a wrong block size");
    }
    Stream blocks(volume_, geometry_);
    blocks.append(file.runs_of(AttributeType::index_allocation, index_name));
    const std::vector<std::byte> used = index_bitmap(file, folder);
    const std::uint64_t count =
        std::min<std::uint64_t>(blocks.capacity() / block_size, std::uint64_t{8} * used.size());
    for (std::uint64_t i = 0; i < count; ++i) {
      if ((std::to_integer<unsigned>(used[i / 8]) >> (i % 8) & 1U) == 0) continue;
      std::vector<std::byte> block = blocks.read(i * block_size, block_size);
      constexpr std::uint32_t magic = 0x58444e49;  // "INDX"
      if (u32(block, 0) != magic || !undo_fixup(block)) {
        damaged(folder, "has a damaged block in its index");
      }
      constexpr std::size_t header = 24;
      if (!entries(Bytes(block).subspan(header), folder, visit)) return;
    }
  }

  std::vector<std::byte> index_bitmap(const FileAttributes& file, NodeId folder) {
    constexpr std::uint64_t longest = 16 * io::MiB;
    const Attribute* const bitmap = file.find(AttributeType::bitmap, index_name);
    if (bitmap == nullptr) damaged(folder, "has an index without a bitmap");
    if (bitmap->resident) return {bitmap->value.begin(), bitmap->value.end()};
    Stream stream(volume_, geometry_);
    stream.append(file.runs_of(AttributeType::bitmap, index_name));
    if (bitmap->size > longest) damaged(folder, "has an index with a bitmap that is too long");
    return stream.read(0, bitmap->size);
  }

  // The entries of a node, which begins with where they lie in it. False: enough was seen.
  bool entries(Bytes node, NodeId folder, const EntryVisitor& visit) {
    constexpr std::size_t header = 16;
    constexpr unsigned last_entry = 2;
    if (node.size() < header) damaged(folder, "has an index without entries");
    const std::size_t end = u32(node, 4);
    if (end > node.size()) damaged(folder, "has an index that is cut short");
    for (std::size_t at = u32(node, 0); at <= end && end - at >= header;) {
      const std::size_t length = u16(node, at + 8);
      const std::size_t key = u16(node, at + 10);
      if ((u16(node, at + 12) & last_entry) != 0) return true;
      if (length < header + key || length > end - at) damaged(folder, "has a damaged entry");
      if (!one(u64(node, at) & record_mask, node.subspan(at + header, key), visit)) return false;
      at += length;
    }
    return true;
  }

  static bool one(std::uint64_t record, Bytes key, const EntryVisitor& visit) {
    constexpr std::size_t name_at = 66;
    constexpr unsigned dos_name = 2;
    if (key.size() < name_at || std::to_integer<unsigned>(key[65]) == dos_name) return true;
    const std::size_t length = std::size_t{2} * std::to_integer<std::size_t>(key[64]);
    const std::string name =
        utf8_from_utf16(key.subspan(name_at, std::min(length, key.size() - name_at)));
    return name.empty() || name == "." || name == ".." || visit({name, {record, 0}});
  }

  void take_runs(const FileAttributes& file, const Attribute& data, NodeId id, FileMap& map) {
    const std::vector<Run> runs = file.runs_of(AttributeType::data);
    const std::uint64_t size = data.size;
    map.size = std::min(data.initialized, size);  // behind that it was never written
    if ((data.flags & flag_compressed) != 0 && data.compression_bits != 0) {
      compressed(runs, data.compression_bits, id, map);
    } else {
      std::uint64_t offset = 0;
      for (const Run& run : runs) {
        const std::uint64_t length = run.count * geometry_.cluster_size;
        if (run.first) {
          append_piece(map, offset, *run.first * geometry_.cluster_size, length);
        }
        offset += length;
      }
      if (offset < map.size) damaged(id, "is longer than its clusters");
    }
    map.size = size;
  }

  // Units of 2^bits clusters: one that lies in all of them is not compressed, one that lies in none
  // is a hole, and all else is a stream that a hole fills up.
  void compressed(const std::vector<Run>& runs, unsigned bits, NodeId id, FileMap& map) {
    const std::uint64_t cluster = geometry_.cluster_size;
    if (bits > 8 || (cluster << bits) > io::MiB)
      unsupported(id, "is compressed in too large units");
    const std::uint64_t unit = std::uint64_t{1} << bits;
    std::size_t index = 0;
    std::uint64_t inside = 0;  // clusters of the run that are done
    for (std::uint64_t first = 0; index < runs.size() && first * cluster < map.size;) {
      if (inside == 0 && !runs[index].first && runs[index].count >= unit && first % unit == 0) {
        const std::uint64_t skipped = runs[index].count / unit * unit;  // a large hole
        first += skipped;
        inside = skipped;
        if (inside == runs[index].count) {
          ++index;
          inside = 0;
        }
        continue;
      }
      std::vector<io::ByteRange> parts;
      std::uint64_t stored = 0;
      for (std::uint64_t done = 0; done < unit && index < runs.size();) {
        const Run& run = runs[index];
        const std::uint64_t count = std::min(unit - done, run.count - inside);
        if (run.first) {
          parts.push_back({(*run.first + inside) * cluster, count * cluster});
          stored += count;
        }
        done += count;
        inside += count;
        if (inside == run.count) {
          ++index;
          inside = 0;
        }
      }
      add_unit(first * cluster, parts, stored == unit, unit * cluster, map);
      first += unit;
    }
  }

  static void add_unit(std::uint64_t offset, const std::vector<io::ByteRange>& parts, bool plain,
                       std::uint64_t length, FileMap& map) {
    if (parts.empty()) return;
    if (plain) {
      for (const io::ByteRange& part : parts) {
        append_piece(map, offset, part.offset, part.length);
        offset += part.length;
      }
      return;
    }
    if (map.pieces.size() == most_pieces || map.parts.size() + parts.size() > 4 * most_pieces) {
      throw Doubt(Reason::unsupported, "has a file in more pieces than imgtool reads");
    }
    FilePiece piece;
    piece.range = {offset, std::min(length, map.size - offset)};
    piece.place = parts.front().offset;
    piece.coding = Coding::lznt1;
    for (const io::ByteRange& part : parts) piece.coded += part.length;
    piece.decoded = length;
    piece.first_part = static_cast<std::uint32_t>(map.parts.size());
    piece.parts = static_cast<std::uint32_t>(parts.size());
    map.parts.insert(map.parts.end(), parts.begin(), parts.end());
    map.pieces.push_back(piece);
  }

  DiskView& volume_;
  Geometry geometry_;
  Mft mft_;
  std::uint64_t records_ = 0;
  RecordBudget budget_;
};

}  // namespace

std::unique_ptr<FileTree> open_files(DiskView& volume) {
  const auto sector = volume.read(0, boot_sector_bytes);
  if (!has_signature(sector)) throw Doubt(Reason::damaged, "has no boot sector", remedy_check);
  return std::make_unique<NtfsFiles>(volume, parse_boot_sector(sector));
}

}  // namespace formats::filesystems::ntfs
