#include "formats/images/vhd/footer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/checksum.hpp"
#include "formats/bytes/hex.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/images/vhd/fields.hpp"
#include "io/error.hpp"

namespace formats::vhd {
namespace {

constexpr std::uint64_t most_table_bytes = 64 * io::MiB;
constexpr std::uint32_t largest_block = 256 * io::MiB;

bool begins_with(std::span<const std::byte> bytes, std::string_view cookie) {
  return bytes.size() >= cookie.size() &&
         std::memcmp(bytes.data(), cookie.data(), cookie.size()) == 0;
}

// Old versions of tapdisk leave their field for hidden images out of the sum.
bool footer_sum_fits(std::span<const std::byte> bytes) {
  const auto stored = load_big_endian<std::uint32_t>(bytes, at::checksum);
  const std::uint32_t computed = ones_complement(bytes, at::checksum);
  return checksum_fits(stored, computed) ||
         checksum_fits(stored, computed + std::to_integer<std::uint32_t>(bytes[at::hidden]));
}

// UTF-16, big-endian.
std::string text_of(std::span<const std::byte> bytes) {
  std::vector<std::byte> turned(bytes.begin(), bytes.end());
  for (std::size_t i = 0; i + 1 < turned.size(); i += 2) std::swap(turned[i], turned[i + 1]);
  return utf8_from_utf16(turned);
}

// Virtual PC and qemu lay their disks out by geometry, and cut off what is beyond it. Everybody
// else means the size.
bool goes_by_geometry(std::string_view creator) { return creator == "vpc " || creator == "qemu"; }

std::optional<Footer> footer_at(const io::File& file, std::uint64_t offset, std::uint64_t length) {
  std::array<std::byte, footer_bytes> bytes{};
  const auto wanted = std::span(bytes).first(length);
  if (file.read_at(offset, wanted) < length) return std::nullopt;
  return parse_footer(wanted, offset, file.path());
}

struct FoundFooter {
  Footer footer;
  std::uint64_t offset = 0;
};

std::optional<FoundFooter> footer_at_end(const io::File& file) {
  const std::uint64_t size = file.size();
  for (const std::uint64_t length : {footer_bytes, short_footer_bytes}) {
    if (size < length) continue;
    if (const auto footer = footer_at(file, size - length, length)) {
      return FoundFooter{*footer, size - length};
    }
  }
  return std::nullopt;
}

}  // namespace

std::uint32_t ones_complement(std::span<const std::byte> bytes, std::size_t checksum_at) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i < checksum_at || i >= checksum_at + 4) sum += std::to_integer<std::uint32_t>(bytes[i]);
  }
  return ~sum;
}

std::uint64_t Footer::virtual_size() const {
  return goes_by_geometry(creator) && !largest_geometry ? geometry_size : current_size;
}

std::uint64_t Header::bitmap_bytes() const {
  return io::align_up(block_size / sector / 8 + (block_size / sector % 8 != 0 ? 1 : 0), sector);
}

bool has_magic(std::span<const std::byte> start) { return begins_with(start, footer_cookie); }

std::optional<Footer> parse_footer(std::span<const std::byte> bytes, std::uint64_t offset,
                                   const std::string& path) {
  if (bytes.size() < short_footer_bytes || !begins_with(bytes, footer_cookie)) return std::nullopt;
  if (!footer_sum_fits(bytes)) return std::nullopt;
  const auto version = load_big_endian<std::uint32_t>(bytes, at::version);
  if (version != version_1_0) {
    throw io::Error(io::ErrorKind::unsupported, path,
                    fmt::format("is a VHD of version {}.{}; imgtool knows 1.0", version >> 16,
                                version & 0xffff));
  }
  const auto kind = load_big_endian<std::uint32_t>(bytes, at::kind);
  if (kind < 2 || kind > 4) {
    throw io::Error::format(path, offset + at::kind, fmt::format("there is no VHD type {}", kind));
  }
  Footer footer;
  footer.kind = static_cast<Kind>(kind);
  footer.creator.assign(reinterpret_cast<const char*>(bytes.data()) + at::creator, 4);
  footer.current_size = load_big_endian<std::uint64_t>(bytes, at::current_size);
  footer.header_offset = load_big_endian<std::uint64_t>(bytes, at::header_offset);
  const std::uint64_t cylinders = load_big_endian<std::uint16_t>(bytes, at::cylinders);
  const auto heads = std::to_integer<std::uint64_t>(bytes[at::heads]);
  const auto sectors = std::to_integer<std::uint64_t>(bytes[at::sectors]);
  footer.geometry_size = cylinders * heads * sectors * sector;
  footer.id = hex_of(bytes.subspan(at::id, id_bytes));
  footer.largest_geometry = cylinders == 65535 && heads == 16 && sectors == 255;
  return footer;
}

Ending look_at_end(const io::File& file) {
  try {
    const auto found = footer_at_end(file);
    if (!found) return Ending::none;
    const bool fixed =
        found->footer.kind == Kind::fixed && found->footer.current_size == found->offset;
    return fixed ? Ending::fixed : Ending::other;
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::system) throw;
    return Ending::other;
  }
}

bool is_fixed_footer(std::span<const std::byte> bytes, std::uint64_t data_bytes) {
  try {
    const auto footer = parse_footer(bytes, data_bytes, {});
    return footer && footer->kind == Kind::fixed && footer->current_size == data_bytes &&
           footer->virtual_size() == data_bytes;
  } catch (const io::Error&) {
    return false;
  }
}

Header parse_header(std::span<const std::byte> bytes, const Footer& footer, std::uint64_t file_size,
                    const std::string& path) {
  const auto fail = [&](std::size_t at, const std::string& text) {
    throw io::Error::format(path, footer.header_offset + at, text);
  };
  if (bytes.size() < dynamic_header_bytes || !begins_with(bytes, header_cookie)) {
    fail(0, "here should be the header of a dynamic VHD");
  }
  if (!checksum_fits(load_big_endian<std::uint32_t>(bytes, in_header::checksum),
                     ones_complement(bytes, in_header::checksum))) {
    fail(in_header::checksum, "the checksum of the dynamic header is wrong: it is damaged");
  }
  const auto u32 = [&](std::size_t at) { return load_big_endian<std::uint32_t>(bytes, at); };
  Header header;
  header.offset = footer.header_offset;
  header.table_offset = load_big_endian<std::uint64_t>(bytes, in_header::table_offset);
  header.entries = u32(in_header::entries);
  header.block_size = u32(in_header::block_size);
  if (u32(in_header::version) != version_1_0) fail(in_header::version, "an unknown header version");
  if (!std::has_single_bit(header.block_size) || header.block_size < sector ||
      header.block_size > largest_block) {
    fail(in_header::block_size, fmt::format("a block size of {} is impossible", header.block_size));
  }
  if (header.table_bytes() > most_table_bytes) {
    fail(in_header::entries, fmt::format("a table of {} entries is too long", header.entries));
  }
  if (header.table_offset % sector != 0 || header.table_offset > file_size ||
      header.table_bytes() > file_size - header.table_offset) {
    fail(
        in_header::table_offset,
        fmt::format("the block table of {} bytes at {} is not at a sector of the file or goes past "
                    "its end ({} bytes)",
                    header.table_bytes(), header.table_offset, file_size));
  }
  const std::uint64_t covered = std::uint64_t{header.entries} * header.block_size;
  if (footer.virtual_size() > covered) {
    fail(in_header::entries,
         fmt::format("the disk has {} bytes, its blocks only {}", footer.virtual_size(), covered));
  }
  header.parent_id = hex_of(bytes.subspan(in_header::parent_id, id_bytes));
  header.parent = text_of(bytes.subspan(in_header::parent, in_header::parent_bytes));
  return header;
}

Layout read_layout(const io::File& file) {
  Layout layout;
  if (const auto found = footer_at_end(file)) {
    layout.footer = found->footer;
    layout.footer_offset = found->offset;
  } else {
    const auto copy = footer_at(file, 0, footer_bytes);
    if (!copy) {
      throw io::Error::format(
          file.path(), 0,
          "is not a VHD image: neither its end nor its start is a footer with a "
          "right checksum");
    }
    if (copy->kind == Kind::fixed) {
      throw io::Error::format(file.path(), file.size(), "here should be the footer of a fixed VHD");
    }
    layout.footer = *copy;
    layout.end_is_missing = true;
  }
  if (layout.footer.kind == Kind::fixed) return layout;
  std::array<std::byte, dynamic_header_bytes> bytes{};
  const std::uint64_t size = file.size();
  const std::uint64_t at_offset = layout.footer.header_offset;
  if (at_offset % sector != 0 || at_offset > size || bytes.size() > size - at_offset ||
      file.read_at(at_offset, bytes) < bytes.size()) {
    throw io::Error::format(
        file.path(), layout.footer_offset + at::header_offset,
        fmt::format("the dynamic header at {} is not at a sector of the file or "
                    "goes past its end ({} bytes)",
                    at_offset, size));
  }
  layout.header = parse_header(bytes, layout.footer, size, file.path());
  return layout;
}

BlockFacts read_facts(const io::File& file) {
  const Layout layout = read_layout(file);
  BlockFacts facts;
  facts.virtual_size = layout.footer.virtual_size();
  facts.subformat = layout.footer.kind == Kind::fixed     ? "fixed"
                    : layout.footer.kind == Kind::dynamic ? "dynamic"
                                                          : "differencing";
  facts.others = {{"creator", layout.footer.creator},
                  {"current size", layout.footer.current_size},
                  {"geometry size", layout.footer.geometry_size}};
  if (layout.header) facts.block_size = layout.header->block_size;
  if (layout.footer.kind == Kind::differencing) facts.backing_file = layout.header->parent;
  if (layout.end_is_missing) facts.others.push_back({"footer", "missing; its copy was read"});
  return facts;
}

std::optional<ParentReference> parent_of(const io::File& file) {
  const Layout layout = read_layout(file);
  if (layout.footer.kind != Kind::differencing) return std::nullopt;
  return ParentReference{layout.header->parent, true, Format::vpc, {layout.header->parent_id}};
}

std::string identity_of(const io::File& file) { return read_layout(file).footer.id; }

}  // namespace formats::vhd
