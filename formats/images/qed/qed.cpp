#include "formats/images/qed/qed.hpp"

#include <array>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"

namespace formats::qed {
namespace {

constexpr std::string_view magic("QED\0", 4);
constexpr std::size_t header_bytes = 64;
constexpr std::uint64_t smallest_cluster = 4 * io::KiB;
constexpr std::uint64_t largest_cluster = 64 * io::MiB;
constexpr std::uint64_t most_clusters_in_table = 16;
constexpr std::uint64_t largest_table = 64 * io::MiB;
constexpr std::uint64_t largest_disk = std::uint64_t{1} << 62;
constexpr std::uint32_t longest_name = 1023;

// Features.
constexpr std::uint64_t has_backing = 1;
constexpr std::uint64_t needs_check = 2;
constexpr std::uint64_t backing_is_raw = 4;

// Where the fields are.
namespace at {
constexpr std::size_t cluster_size = 4;
constexpr std::size_t table_size = 8;
constexpr std::size_t header_size = 12;
constexpr std::size_t features = 16;
constexpr std::size_t directory = 40;
constexpr std::size_t virtual_size = 48;
constexpr std::size_t name_offset = 56;
constexpr std::size_t name_length = 60;
}  // namespace at

class Parser {
 public:
  explicit Parser(const io::File& file) : file_(file), file_size_(file.size()) {}

  Header parse() {
    const std::size_t count = file_.read_at(0, bytes_);
    if (!has_magic(std::span(bytes_).first(count))) fail(0, "is not a QED image");
    if (count < header_bytes) fail(count, "ends inside the QED header");
    parse_sizes();
    parse_features();
    return header_;
  }

 private:
  void parse_sizes() {
    header_.cluster_size = u32(at::cluster_size);
    if (!std::has_single_bit(header_.cluster_size) || header_.cluster_size < smallest_cluster ||
        header_.cluster_size > largest_cluster) {
      fail(at::cluster_size,
           fmt::format("a cluster size of {} is impossible", header_.cluster_size));
    }
    const std::uint64_t in_table = u32(at::table_size);
    header_.table_bytes = in_table * header_.cluster_size;
    if (!std::has_single_bit(in_table) || in_table > most_clusters_in_table ||
        header_.table_bytes > largest_table) {
      fail(at::table_size, fmt::format("tables of {} clusters are impossible", in_table));
    }
    header_.header_bytes = u32(at::header_size) * header_.cluster_size;
    if (header_.header_bytes == 0 || header_.header_bytes > file_size_) {
      fail(at::header_size, fmt::format("a header of {} bytes, but the file has {}",
                                        header_.header_bytes, file_size_));
    }
    header_.directory_at = u64(at::directory);
    if (header_.directory_at % header_.cluster_size != 0 ||
        header_.directory_at < header_.header_bytes) {
      fail(at::directory, fmt::format("the L1 table at {} is not at a cluster behind the header",
                                      header_.directory_at));
    }
    header_.virtual_size = u64(at::virtual_size);
    const std::uint64_t words = header_.table_bytes / 8;
    const std::uint64_t size = header_.virtual_size;
    if (size % 512 != 0 || size > largest_disk ||
        io::align_up(size, header_.cluster_size) / header_.cluster_size > words * words) {
      fail(at::virtual_size, fmt::format("a disk of {} bytes is impossible here", size));
    }
  }

  void parse_features() {
    const std::uint64_t features = u64(at::features);
    if ((features & ~(has_backing | needs_check | backing_is_raw)) != 0) {
      throw io::Error(io::ErrorKind::unsupported, file_.path(),
                      fmt::format("has features {:#x} that imgtool does not know", features));
    }
    header_.needs_check = (features & needs_check) != 0;
    header_.has_backing_file = (features & has_backing) != 0;
    header_.backing_is_raw = (features & backing_is_raw) != 0;
    if (!header_.has_backing_file) return;
    const std::uint64_t offset = u32(at::name_offset);
    const std::uint64_t length = u32(at::name_length);
    if (length > longest_name || offset > header_.header_bytes ||
        length > header_.header_bytes - offset) {
      fail(at::name_offset, "the name of the backing file is not in the header");
    }
    header_.backing_file.resize(length);
    const auto name = std::as_writable_bytes(std::span(header_.backing_file));
    if (file_.read_at(offset, name) < length) fail(offset, "the file ends in a name");
  }

  [[nodiscard]] std::uint32_t u32(std::size_t offset) const {
    return load_little_endian<std::uint32_t>(bytes_, offset);
  }
  [[nodiscard]] std::uint64_t u64(std::size_t offset) const {
    return load_little_endian<std::uint64_t>(bytes_, offset);
  }
  [[noreturn]] void fail(std::uint64_t offset, const std::string& text) const {
    throw io::Error::format(file_.path(), offset, text);
  }

  const io::File& file_;
  std::uint64_t file_size_;
  std::array<std::byte, header_bytes> bytes_{};
  Header header_;
};

TableMap::Shape shape_of(const Header& header) {
  TableMap::Shape shape;
  shape.guest_size = header.virtual_size;
  shape.cluster_size = header.cluster_size;
  shape.header = {0, header.header_bytes};
  shape.directory_at = header.directory_at;
  shape.table_bytes = header.table_bytes;
  shape.directory_bytes = header.table_bytes;
  return shape;
}

}  // namespace

bool has_magic(std::span<const std::byte> start) {
  return start.size() >= magic.size() && std::memcmp(start.data(), magic.data(), magic.size()) == 0;
}

Header read_header(const io::File& file) { return Parser(file).parse(); }

BlockFacts read_facts(const io::File& file) {
  const Header header = read_header(file);
  BlockFacts facts;
  facts.virtual_size = header.virtual_size;
  facts.block_size = header.cluster_size;
  facts.dirty = header.needs_check;
  facts.backing_file = header.backing_file;
  facts.others = {{"table size", header.table_bytes}};
  return facts;
}

QedMap::QedMap(const io::File& file, const Header& header, BlockCheck* check)
    : TableMap(file, shape_of(header), check) {}

StoredBlock QedMap::parse_word(std::uint64_t word) const {
  constexpr std::uint64_t zero_word = 1;
  if (word == 0) return {BlockKind::absent};
  if (word == zero_word) return {BlockKind::zero};
  return {BlockKind::plain, word};
}

void check(const io::File& file, BlockCheck& check) {
  const Header header = read_header(file);
  if (header.needs_check) {
    check.remark(fmt::format("{}: it was not closed by who wrote to it last", file.path()));
  }
  QedMap(file, header, &check).check_all();
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  return std::make_unique<QedMap>(file, read_header(file));
}

std::optional<ParentReference> parent_of(const io::File& file) {
  const Header header = read_header(file);
  if (!header.has_backing_file) return std::nullopt;
  ParentReference parent{header.backing_file};
  if (header.backing_is_raw) parent.format = Format::raw;
  return parent;
}

}  // namespace formats::qed
