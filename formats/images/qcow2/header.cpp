#include "formats/images/qcow2/header.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/header_layout.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

// More of qemu's limits.
constexpr std::uint64_t largest_bitmap_directory = 1024 * most_bitmaps;
constexpr std::uint64_t longest_format_name = 15;

class Parser {
 public:
  Parser(std::span<const std::byte> start, std::uint64_t file_size, const std::string& path)
      : bytes_(start), file_size_(file_size), path_(path) {}

  Header parse() {
    parse_version_and_cluster();
    parse_features();
    parse_encryption();
    parse_refcounts();
    parse_size_and_l1();
    parse_snapshots();
    parse_extensions();
    parse_backing_name();
    check_agreement();
    return std::move(header_);
  }

 private:
  // --- fields ---

  [[nodiscard]] std::uint32_t u32(std::size_t offset) const {
    return load_big_endian<std::uint32_t>(bytes_, offset);
  }
  [[nodiscard]] std::uint64_t u64(std::size_t offset) const {
    return load_big_endian<std::uint64_t>(bytes_, offset);
  }
  [[noreturn]] void fail(std::uint64_t offset, std::string text) const {
    throw io::Error::format(path_, offset, std::move(text));
  }
  [[noreturn]] void unsupported(std::string text) const {
    throw io::Error(io::ErrorKind::unsupported, path_, std::move(text));
  }

  std::uint64_t limited(std::string_view name, std::size_t offset, std::uint64_t value,
                        std::uint64_t least, std::uint64_t most) const {
    if (value < least || value > most) {
      fail(offset, fmt::format("{} is {}, not {} to {}", name, value, least, most));
    }
    return value;
  }

  // A table of `bytes` whose offset is the field at `field`: aligned and inside the file.
  [[nodiscard]] HostOffset table(std::string_view name, std::size_t field,
                                 std::uint64_t bytes) const {
    const std::uint64_t offset = u64(field);
    if (header_.geometry.offset_in_cluster(offset) != 0) {
      fail(field, fmt::format("{} is at {}, not at a multiple of the cluster size {}", name, offset,
                              header_.geometry.cluster_size()));
    }
    if (offset > file_size_ || bytes > file_size_ - offset) {
      fail(field, fmt::format("{} of {} bytes at {} goes past the end of the file ({} bytes)", name,
                              bytes, offset, file_size_));
    }
    return {offset};
  }

  // --- the header's parts ---

  void parse_version_and_cluster() {
    if (!has_magic(bytes_)) fail(0, "is not a qcow2 image");
    if (bytes_.size() < v2_header_bytes) fail(0, "ends inside the header");
    header_.version =
        static_cast<std::uint32_t>(limited("version", at::version, u32(at::version), 2, 3));
    header_.geometry.cluster_bits = static_cast<std::uint32_t>(
        limited("cluster_bits", at::cluster_bits, u32(at::cluster_bits), 9, 21));
    const std::uint64_t cluster_size = header_.geometry.cluster_size();
    // What lies behind the first cluster is no part of the header.
    bytes_ = bytes_.first(std::min<std::uint64_t>(bytes_.size(), cluster_size));
    header_.header_bytes = v2_header_bytes;
    if (header_.version == 2) return;
    if (bytes_.size() < v3_header_bytes) fail(0, "ends inside the header");
    header_.header_bytes = static_cast<std::uint32_t>(limited(
        "header_length", at::header_length, u32(at::header_length), v3_header_bytes, cluster_size));
    if (header_.header_bytes > bytes_.size()) fail(0, "ends inside the header");
  }

  void parse_features() {
    if (header_.version == 2) return;
    const std::uint64_t incompatible = u64(at::incompatible);
    if ((incompatible & ~incompatible_bit::known) != 0) refuse_features(incompatible);
    header_.dirty = (incompatible & incompatible_bit::dirty) != 0;
    header_.corrupt = (incompatible & incompatible_bit::corrupt) != 0;
    header_.external_data = (incompatible & incompatible_bit::external_data) != 0;
    header_.lazy_refcounts = (u64(at::compatible) & 1) != 0;
    header_.bitmaps_consistent = (u64(at::autoclear) & 1) != 0;
    header_.raw_external_data = (u64(at::autoclear) & 2) != 0;
    if ((incompatible & incompatible_bit::extended_l2) != 0) {
      if (header_.geometry.cluster_bits < 14) {
        fail(at::cluster_bits, fmt::format("cluster_bits is {}, but subclusters need 14 or more",
                                           header_.geometry.cluster_bits));
      }
      header_.geometry.extended_l2 = true;
    }
    parse_compression((incompatible & incompatible_bit::compression) != 0);
  }

  void parse_compression(bool announced) {
    std::uint8_t type = 0;
    if (header_.header_bytes > at::compression_type) {
      type = std::to_integer<std::uint8_t>(bytes_[at::compression_type]);
    }
    if (announced != (type != 0)) {
      fail(at::compression_type,
           fmt::format("compression type is {}, but the feature bit for it is {}", type,
                       announced ? "set" : "not set"));
    }
    if (type > 1) unsupported(fmt::format("its compression type {} is not known", type));
    header_.compression = type == 1 ? Compression::zstd : Compression::deflate;
  }

  void parse_encryption() {
    switch (u32(at::crypt_method)) {
      case 0:
        break;
      case 1:
        header_.encryption = Encryption::aes;
        break;
      case 2:
        header_.encryption = Encryption::luks;
        break;
      default:
        unsupported(fmt::format("its encryption method {} is not known", u32(at::crypt_method)));
    }
  }

  void parse_refcounts() {
    std::uint64_t order = 4;
    if (header_.version > 2) {
      order = limited("refcount_order", at::refcount_order, u32(at::refcount_order), 0, 6);
    }
    header_.refcount_bits = 1U << order;
    header_.refcount_table_clusters = static_cast<std::uint32_t>(limited(
        "refcount_table_clusters", at::refcount_table_clusters, u32(at::refcount_table_clusters), 0,
        largest_refcount_table_bytes / header_.geometry.cluster_size()));
    parse_refcount_table_offset();
  }

  // Reading needs no refcounts, so a table past the end is for the checker to tell and to mend.
  void parse_refcount_table_offset() {
    const std::uint64_t bytes = header_.refcount_table_clusters * header_.geometry.cluster_size();
    const std::uint64_t offset = u64(at::refcount_table_offset);
    if (offset > file_size_ || bytes > file_size_ - offset) {
      header_.refcount_table_lost = true;
      header_.refcount_table_clusters = 0;
      return;
    }
    header_.refcount_table_offset = table("the refcount table", at::refcount_table_offset, bytes);
  }

  void parse_size_and_l1() {
    const std::uint64_t size = u64(at::virtual_size);
    constexpr std::uint64_t largest_size = (std::uint64_t{1} << 63) - 1;
    header_.virtual_size =
        io::align_down(limited("virtual size", at::virtual_size, size, 0, largest_size), 512);
    const std::uint64_t needed = header_.geometry.l1_entries_for(header_.virtual_size);
    const std::uint64_t entries =
        limited("l1_size", at::l1_size, u32(at::l1_size), 0, largest_l1_bytes / 8);
    if (entries < needed) {
      fail(at::l1_size, fmt::format("l1_size is {}, but {} bytes of disk need {} entries", entries,
                                    header_.virtual_size, needed));
    }
    header_.l1_entries = static_cast<std::uint32_t>(entries);
    header_.l1_offset = table("the L1 table", at::l1_offset, entries * 8);
  }

  void parse_snapshots() {
    header_.snapshot_count = u32(at::snapshot_count);  // too many are for whoever reads the table
    // A snapshot's entry takes at least 40 bytes.
    header_.snapshots_offset = table("the snapshot table", at::snapshots_offset,
                                     std::uint64_t{header_.snapshot_count} * 40);
  }

  // --- extensions ---

  // They end at the name of the backing file, or with the first cluster.
  [[nodiscard]] std::size_t extensions_end() const {
    const std::uint64_t name = u64(at::backing_offset);
    return name == 0 ? bytes_.size() : std::min<std::uint64_t>(name, bytes_.size());
  }

  // Calls visit(type, offset of the data, length of the data) for each extension.
  template <class Visitor>
  void for_each_extension(const Visitor& visit) const {
    const std::size_t end = extensions_end();
    std::size_t offset = header_.header_bytes;
    while (offset < end && end - offset >= 8) {
      const std::uint32_t type = u32(offset);
      const std::uint32_t length = u32(offset + 4);
      if (type == extension::end) return;
      if (length > end - offset - 8) {
        fail(offset,
             fmt::format("header extension {:#010x} of {} bytes does not fit", type, length));
      }
      visit(type, offset + 8, length);
      offset += 8 + io::align_up(length, 8);
    }
    // A repair that made the file longer would complete it.
    const bool file_ends_here = end == file_size_ && end < header_.geometry.cluster_size();
    if (offset < end && file_ends_here) fail(offset, "ends inside a header extension");
  }

  void parse_extensions() {
    for_each_extension([this](std::uint32_t type, std::size_t offset, std::uint32_t length) {
      switch (type) {
        case extension::backing_format:
          header_.backing_format = text(offset, limited("length of the backing format", offset - 4,
                                                        length, 0, longest_format_name));
          break;
        case extension::data_file:
          header_.data_file = text(offset, length);
          break;
        case extension::bitmaps:
          parse_bitmaps(offset, length);
          break;
        case extension::encryption:
          parse_encryption_header(offset, length);
          break;
        default:
          break;  // unknown ones are allowed, and not ours to read
      }
    });
  }

  void parse_bitmaps(std::size_t offset, std::uint32_t length) {
    limited("length of the bitmaps extension", offset - 4, length, 24, 24);
    if (u32(offset + 4) != 0) fail(offset + 4, "reserved field of the bitmaps extension is set");
    BitmapDirectory directory;
    directory.count = static_cast<std::uint32_t>(
        limited("number of bitmaps", offset, u32(offset), 1, most_bitmaps));
    directory.bytes = limited("size of the bitmap directory", offset + 8, u64(offset + 8), 1,
                              largest_bitmap_directory);
    directory.offset = table("the bitmap directory", offset + 16, directory.bytes);
    header_.bitmaps = directory;
  }

  void parse_encryption_header(std::size_t offset, std::uint32_t length) {
    if (header_.encryption != Encryption::luks) {
      fail(offset - 8, "has an encryption header, but its encryption method is not LUKS");
    }
    limited("length of the encryption extension", offset - 4, length, 16, 16);
    const std::uint64_t bytes = u64(offset + 8);
    header_.encryption_header =
        io::ByteRange{table("the encryption header", offset, bytes).value, bytes};
  }

  [[noreturn]] void refuse_features(std::uint64_t incompatible) const {
    std::string names;
    for (unsigned bit = 0; bit < 64; ++bit) {
      const std::uint64_t mask = std::uint64_t{1} << bit;
      if ((incompatible & ~incompatible_bit::known & mask) == 0) continue;
      if (!names.empty()) names += ", ";
      names += feature_name(bit);
    }
    unsupported(fmt::format("needs features that are not known here: {}", names));
  }

  [[nodiscard]] std::string feature_name(unsigned wanted_bit) const {
    constexpr std::size_t entry_bytes = 48;
    std::string name = fmt::format("bit {}", wanted_bit);
    for_each_extension([&](std::uint32_t type, std::size_t offset, std::uint32_t length) {
      if (type != extension::feature_names) return;
      for (std::size_t i = 0; i + entry_bytes <= length; i += entry_bytes) {
        const auto entry = bytes_.subspan(offset + i, entry_bytes);
        if (entry[0] != std::byte{0} || std::to_integer<unsigned>(entry[1]) != wanted_bit) continue;
        name = text(offset + i + 2, entry_bytes - 2);
        name.resize(std::min(name.size(), name.find('\0')));
      }
    });
    return name;
  }

  // --- names ---

  [[nodiscard]] std::string text(std::size_t offset, std::uint64_t length) const {
    const auto part = bytes_.subspan(offset, length);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

  void parse_backing_name() {
    const std::uint64_t offset = u64(at::backing_offset);
    if (offset == 0) return;
    if (offset > bytes_.size()) {
      fail(at::backing_offset,
           fmt::format("the backing file's name is at {}, outside of the first cluster", offset));
    }
    const std::uint64_t room =
        std::min<std::uint64_t>(longest_backing_name, bytes_.size() - offset);
    const std::uint64_t length = limited("length of the backing file's name", at::backing_size,
                                         u32(at::backing_size), 0, room);
    header_.backing_file = text(offset, length);
  }

  // --- what only the whole can tell ---

  void check_agreement() const {
    if (header_.raw_external_data && !header_.external_data) {
      fail(at::autoclear, "says that its data file is raw, but has no data file");
    }
    if (header_.raw_external_data && !header_.backing_file.empty()) {
      fail(at::backing_offset, "has both a backing file and a raw data file");
    }
    if (header_.encryption == Encryption::luks && !header_.encryption_header) {
      fail(at::crypt_method, "is LUKS encrypted, but has no encryption header");
    }
    if (header_.external_data && header_.snapshot_count != 0) {
      fail(at::snapshot_count, "has both snapshots and an external data file");
    }
  }

  std::span<const std::byte> bytes_;
  std::uint64_t file_size_;
  const std::string& path_;
  Header header_;
};

}  // namespace

bool has_magic(std::span<const std::byte> start_of_file) {
  return start_of_file.size() >= 4 && load_big_endian<std::uint32_t>(start_of_file, 0) == magic;
}

Header parse_header(std::span<const std::byte> start, std::uint64_t file_size,
                    const std::string& path) {
  return Parser(start, file_size, path).parse();
}

Header read_header(const io::File& file) {
  const std::uint64_t file_size = file.size();
  // Most clusters are 64 KiB: the rest of a larger one is read only when it is there.
  std::vector<std::byte> start(64 * io::KiB);
  start.resize(file.read_at(0, start));
  if (start.size() == 64 * io::KiB && has_magic(start)) {
    const auto bits = load_big_endian<std::uint32_t>(start, at::cluster_bits);
    if (bits > 16 && bits <= 21) {
      start.resize(std::size_t{1} << bits);
      start.resize(file.read_at(0, start));
    }
  }
  return parse_header(start, file_size, file.path());
}

}  // namespace formats::qcow2
