#include "formats/images/qcow1/qcow1.hpp"

#include <array>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "io/error.hpp"

namespace formats::qcow1 {
namespace {

constexpr std::string_view magic("QFI\xfb\0\0\0\1", 8);
constexpr std::size_t header_bytes = 48;
constexpr std::uint64_t largest_disk = std::uint64_t{1} << 62;
constexpr std::uint32_t longest_name = 1023;

// Where the fields are.
namespace at {
constexpr std::size_t name_offset = 8;
constexpr std::size_t name_length = 16;
constexpr std::size_t virtual_size = 24;
constexpr std::size_t cluster_bits = 32;
constexpr std::size_t table_bits = 33;
constexpr std::size_t encryption = 36;
constexpr std::size_t directory = 40;
}  // namespace at

class Parser {
 public:
  explicit Parser(const io::File& file) : file_(file), file_size_(file.size()) {}

  Header parse() {
    const std::size_t count = file_.read_at(0, bytes_);
    if (!has_magic(std::span(bytes_).first(count))) fail(0, "is not a qcow image of version 1");
    if (count < header_bytes) fail(count, "ends inside the qcow header");
    header_.cluster_bits = bits(at::cluster_bits, 9, 16, "cluster_bits");
    header_.table_bits = bits(at::table_bits, 6, 13, "l2_bits");
    header_.virtual_size = load_big_endian<std::uint64_t>(bytes_, at::virtual_size);
    if (header_.virtual_size > largest_disk) {
      fail(at::virtual_size, fmt::format("a disk of {} bytes is impossible", header_.virtual_size));
    }
    const auto encryption = load_big_endian<std::uint32_t>(bytes_, at::encryption);
    if (encryption > 1) fail(at::encryption, fmt::format("unknown encryption {}", encryption));
    header_.encrypted = encryption != 0;
    header_.directory_at = load_big_endian<std::uint64_t>(bytes_, at::directory);
    if (header_.directory_at < header_bytes || header_.directory_at % 8 != 0) {
      fail(at::directory, fmt::format("the L1 table at {} lies in the header or not at a word",
                                      header_.directory_at));
    }
    parse_name();
    return header_;
  }

 private:
  unsigned bits(std::size_t offset, unsigned least, unsigned most, std::string_view name) const {
    const auto value = std::to_integer<unsigned>(bytes_[offset]);
    if (value < least || value > most) {
      fail(offset, fmt::format("{} is {}, not {} to {}", name, value, least, most));
    }
    return value;
  }

  void parse_name() {
    const auto offset = load_big_endian<std::uint64_t>(bytes_, at::name_offset);
    const auto length = load_big_endian<std::uint32_t>(bytes_, at::name_length);
    if (offset == 0 || length == 0) return;
    if (length > longest_name || offset > file_size_ || length > file_size_ - offset) {
      fail(at::name_offset, "the name of the backing file is not in the file, or too long");
    }
    header_.backing_file.resize(length);
    const auto name = std::as_writable_bytes(std::span(header_.backing_file));
    if (file_.read_at(offset, name) < length) fail(offset, "the file ends in a name");
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
  shape.cluster_size = header.cluster_size();
  shape.header = {0, header_bytes};
  shape.directory_at = header.directory_at;
  shape.table_bytes = std::uint64_t{8} << header.table_bits;
  shape.order = std::endian::big;
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
  facts.block_size = header.cluster_size();
  facts.backing_file = header.backing_file;
  if (header.encrypted) facts.others.push_back({"encryption", "AES"});
  return facts;
}

Qcow1Map::Qcow1Map(const io::File& file, const Header& header, BlockCheck* check)
    : TableMap(file, shape_of(header), check), cluster_bits_(header.cluster_bits) {}

// The highest bit says that it is a stream; its length is in the next bits, as many as a cluster
// has.
StoredBlock Qcow1Map::parse_word(std::uint64_t word) const {
  constexpr unsigned place_bits = 63;
  if (word == 0) return {BlockKind::absent};
  if (word >> place_bits == 0) return {BlockKind::plain, word};
  const unsigned length_at = place_bits - cluster_bits_;
  StoredBlock block{BlockKind::packed};
  block.stored_bytes =
      static_cast<std::uint32_t>(word >> length_at) & ((std::uint32_t{1} << cluster_bits_) - 1);
  block.host = word & ((std::uint64_t{1} << length_at) - 1);
  return block;
}

void check(const io::File& file, BlockCheck& check) {
  const Header header = read_header(file);
  Qcow1Map(file, header, &check).check_all();
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  const Header header = read_header(file);
  if (header.encrypted) {
    throw io::Error(
        io::ErrorKind::unsupported, file.path(),
        "is encrypted (AES), which imgtool cannot read; decrypt it with qemu-img convert "
        "--image-opts first");
  }
  return std::make_unique<Qcow1Map>(file, header);
}

std::optional<ParentReference> parent_of(const io::File& file) {
  const Header header = read_header(file);
  if (header.backing_file.empty()) return std::nullopt;
  return ParentReference{header.backing_file};
}

}  // namespace formats::qcow1
