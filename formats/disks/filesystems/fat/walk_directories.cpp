#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/fat/clusters.hpp"
#include "formats/disks/filesystems/fat/directory_entry.hpp"
#include "formats/disks/filesystems/fat/remedy.hpp"
#include "formats/disks/filesystems/fat/table.hpp"

namespace formats::filesystems::fat {
namespace {

std::string trimmed_label(std::span<const std::byte> entry) {
  std::string label;
  for (const std::byte byte : entry.first(11)) label += static_cast<char>(byte);
  if (label[0] == '\x05') label[0] = '\xe5';
  label.erase(label.find_last_not_of(' ') + 1);
  return label == "NO NAME" ? "" : label;
}

// Directory by directory. Every cluster that is come to is claimed once only, so chains have no
// loops and the walk ends.
class Walk {
 public:
  Walk(DiskView& volume, const BootSector& boot, ClusterMarks& marks)
      : volume_(volume),
        boot_(boot),
        marks_(marks),
        table_(volume, boot, boot.only_table.value_or(0)) {}

  std::string run() {
    if (boot_.width == Width::fat32) {
      claim(boot_.root_cluster);
      read_chain(boot_.root_cluster);
    } else {
      (void)read_entries(volume_.read(boot_.root.offset, boot_.root.length));
    }
    in_root_ = false;
    while (!pending_.empty()) {
      const std::uint32_t cluster = pending_.back();
      pending_.pop_back();
      read_chain(cluster);
    }
    return std::move(label_);
  }

 private:
  void read_chain(std::uint32_t cluster) {
    for (std::uint64_t length = 0;; length += boot_.cluster_size) {
      if (length >= longest_directory) {
        throw Doubt(Reason::damaged, "a directory is longer than 65536 entries", remedy_check);
      }
      if (!read_entries(volume_.read(boot_.offset_of(cluster), boot_.cluster_size))) return;
      const Entry next = table_.at(cluster);
      if (!next.has_next()) return;
      cluster = next.value;  // exists: all of the table was checked
    }
  }

  // False: the directory ends here.
  bool read_entries(std::span<const std::byte> entries) {
    for (; entries.size() >= entry_bytes; entries = entries.subspan(entry_bytes)) {
      const auto first = std::to_integer<unsigned>(entries[0]);
      if (first == 0) return false;
      if (first != 0xe5) read_entry(entries.first(entry_bytes));
    }
    return true;
  }

  void read_entry(std::span<const std::byte> entry) {
    const auto attributes = std::to_integer<unsigned>(entry[11]) & 0x3f;
    if (attributes == long_name) return;
    if ((attributes & volume_label) != 0) {
      if (in_root_ && (attributes & directory) == 0 && label_.empty()) {
        label_ = trimmed_label(entry);
      }
      return;
    }
    const bool is_directory = (attributes & directory) != 0;
    if (is_directory && entry[0] == std::byte{'.'}) return;  // itself, or the one above
    std::uint32_t cluster = load_little_endian<std::uint16_t>(entry, 26);
    if (boot_.width == Width::fat32) {
      cluster |= std::uint32_t{load_little_endian<std::uint16_t>(entry, 20)} << 16;
    }
    const auto size = load_little_endian<std::uint32_t>(entry, 28);
    if (cluster == 0 && size == 0 && !is_directory) return;
    claim(cluster);
    if (is_directory) pending_.push_back(cluster);
  }

  void claim(std::uint32_t cluster) {
    if (!boot_.has(cluster)) {
      throw Doubt(Reason::damaged,
                  fmt::format("a file begins in cluster {}, which does not exist", cluster),
                  remedy_check);
    }
    if (marks_.free[cluster]) {
      throw Doubt(Reason::damaged, "a file begins in a cluster that the table calls free",
                  remedy_check);
    }
    if (marks_.claimed[cluster]) {
      throw Doubt(Reason::damaged, fmt::format("two files use cluster {}", cluster), remedy_check);
    }
    marks_.claimed[cluster] = true;
  }

  DiskView& volume_;
  const BootSector& boot_;
  ClusterMarks& marks_;
  Table table_;
  std::vector<std::uint32_t> pending_;  // the first clusters of directories
  std::string label_;
  bool in_root_ = true;
};

}  // namespace

std::string walk_directories(DiskView& volume, const BootSector& boot, ClusterMarks& marks) {
  return Walk(volume, boot, marks).run();
}

}  // namespace formats::filesystems::fat
