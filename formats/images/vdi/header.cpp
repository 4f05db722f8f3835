#include "formats/images/vdi/header.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/vdi/fields.hpp"
#include "io/error.hpp"

namespace formats::vdi {
namespace {

constexpr std::uint32_t smallest_block = 4 * io::KiB;
constexpr std::uint32_t largest_block = 256 * io::MiB;
constexpr std::uint32_t largest_extra = io::MiB;

class Parser {
 public:
  Parser(std::span<const std::byte> start, std::uint64_t file_size, const std::string& path)
      : bytes_(start), file_size_(file_size), path_(path) {}

  Header parse() {
    check_version();
    parse_kind();
    parse_blocks();
    parse_places();
    return header_;
  }

 private:
  void check_version() {
    if (!has_magic(bytes_)) fail(at::magic, "is not a VDI image");
    if (bytes_.size() < header_bytes) fail(bytes_.size(), "ends inside the VDI header");
    const std::uint32_t version = u32(at::version);
    if (version != version_1_1) {
      throw io::Error(io::ErrorKind::unsupported, path_,
                      fmt::format("is a VDI image of version {}.{}; imgtool knows 1.1",
                                  version >> 16, version & 0xffff));
    }
    if (u32(at::sector_size) != sector) {
      fail(at::sector_size, fmt::format("sectors of {} bytes: VDI has 512", u32(at::sector_size)));
    }
    const auto* const text = reinterpret_cast<const char*>(bytes_.data());
    header_.creator.assign(text, std::find(text, text + at::magic, '\0'));
  }

  void parse_kind() {
    const std::uint32_t kind = u32(at::kind);
    if (kind < 1 || kind > 4) fail(at::kind, fmt::format("there is no VDI type {}", kind));
    header_.kind = static_cast<Kind>(kind);
    const auto link = bytes_.subspan(at::link_id, 16);
    const bool linked =
        std::any_of(link.begin(), link.end(), [](std::byte byte) { return byte != std::byte{0}; });
    header_.has_parent = linked || header_.kind == Kind::undo || header_.kind == Kind::differencing;
  }

  void parse_blocks() {
    const auto size = load_little_endian<std::uint64_t>(bytes_, at::virtual_size);
    header_.block_size = u32(at::block_size);
    header_.extra = u32(at::extra);
    header_.blocks = u32(at::blocks);
    header_.used_blocks = u32(at::used_blocks);
    if (!std::has_single_bit(header_.block_size) || header_.block_size < smallest_block ||
        header_.block_size > largest_block) {
      fail(at::block_size, fmt::format("a block size of {} is impossible", header_.block_size));
    }
    if (header_.extra > largest_extra) {
      fail(at::extra, fmt::format("{} extra bytes before each block are too many", header_.extra));
    }
    if (header_.map_bytes() > most_map_bytes) {
      fail(at::blocks, fmt::format("{} blocks are too many", header_.blocks));
    }
    const std::uint64_t covered = std::uint64_t{header_.blocks} * header_.block_size;
    if (size > covered) {
      fail(at::virtual_size,
           fmt::format("the disk has {} bytes, its blocks only {}", size, covered));
    }
    // Blocks are whole sectors, so this stays within them.
    header_.virtual_size = io::align_up(size, sector);
  }

  void parse_places() {
    header_.map_offset = u32(at::map_offset);
    header_.data_offset = u32(at::data_offset);
    if (header_.map_offset < at::end_of_ids) fail(at::map_offset, "the map lies in the header");
    if (header_.map_offset % sector != 0 || header_.data_offset % sector != 0) {
      fail(at::map_offset, fmt::format("the map at {} and the blocks from {} on: not at sectors",
                                       header_.map_offset, header_.data_offset));
    }
    if (header_.map_offset > file_size_ || header_.map_bytes() > file_size_ - header_.map_offset) {
      fail(at::map_offset, fmt::format("the map of {} bytes at {} goes past the end of the file "
                                       "({} bytes)",
                                       header_.map_bytes(), header_.map_offset, file_size_));
    }
    if (header_.data_offset < header_.map_offset + header_.map_bytes()) {
      fail(at::data_offset, fmt::format("the blocks begin at {}, inside the header or the map",
                                        header_.data_offset));
    }
  }

  [[nodiscard]] std::uint32_t u32(std::size_t offset) const {
    return load_little_endian<std::uint32_t>(bytes_, offset);
  }
  [[noreturn]] void fail(std::uint64_t offset, const std::string& text) const {
    throw io::Error::format(path_, offset, text);
  }

  std::span<const std::byte> bytes_;
  std::uint64_t file_size_;
  const std::string& path_;
  Header header_;
};

}  // namespace

bool has_magic(std::span<const std::byte> start) {
  return start.size() >= at::magic + 4 &&
         load_little_endian<std::uint32_t>(start, at::magic) == magic;
}

Header parse_header(std::span<const std::byte> start, std::uint64_t file_size,
                    const std::string& path) {
  return Parser(start, file_size, path).parse();
}

Header read_header(const io::File& file) {
  std::array<std::byte, header_bytes> start{};
  const std::size_t count = file.read_at(0, start);
  return parse_header(std::span(start).first(count), file.size(), file.path());
}

BlockFacts read_facts(const io::File& file) {
  const Header header = read_header(file);
  BlockFacts facts;
  facts.virtual_size = header.virtual_size;
  facts.block_size = header.block_size;
  facts.subformat = header.has_parent              ? "differencing"
                    : header.kind == Kind::dynamic ? "dynamic"
                                                   : "static";
  facts.others = {{"creator", header.creator},
                  {"blocks", std::uint64_t{header.blocks}},
                  {"used blocks", std::uint64_t{header.used_blocks}}};
  return facts;
}

}  // namespace formats::vdi
