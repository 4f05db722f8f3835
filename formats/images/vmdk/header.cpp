#include "formats/images/vmdk/header.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/vmdk/cowd.hpp"
#include "io/error.hpp"

namespace formats::vmdk {
namespace {

constexpr std::string_view magic = "KDMV";
constexpr std::string_view cowd_magic = "COWD";
constexpr std::string_view sesparse_magic("\xbe\xba\xfe\xca\0\0\0\0", 8);
constexpr std::string_view descriptor_magic = "# Disk DescriptorFile";

namespace flag {
constexpr std::uint32_t newline_test = 1;
constexpr std::uint32_t redundant_directory = 2;
constexpr std::uint32_t zero_grains = 4;
constexpr std::uint32_t compressed = 0x10000;
constexpr std::uint32_t markers = 0x20000;
constexpr std::uint32_t known =
    newline_test | redundant_directory | zero_grains | compressed | markers;
}  // namespace flag

// Where the fields are, in bytes from the header's beginning.
namespace at {
constexpr std::size_t version = 4;
constexpr std::size_t flags = 8;
constexpr std::size_t capacity = 12;
constexpr std::size_t grain = 20;
constexpr std::size_t descriptor = 28;
constexpr std::size_t descriptor_length = 36;
constexpr std::size_t entries = 44;
constexpr std::size_t directory = 56;
constexpr std::size_t overhead = 64;
constexpr std::size_t unclean = 72;
constexpr std::size_t newline_test = 73;
constexpr std::size_t compression = 77;
}  // namespace at

constexpr std::string_view newline_bytes = "\n \r\n";
constexpr std::uint64_t smallest_grain = 8;
constexpr std::uint64_t largest_grain = 1 << 17;
constexpr std::uint64_t largest_packed_grain = 1 << 11;
constexpr std::uint32_t fewest_entries = 1 << 6;
constexpr std::uint32_t most_entries = 1 << 9;
constexpr std::uint16_t deflate = 1;

bool begins_with(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::uint64_t offset, const std::string& path)
      : bytes_(bytes), offset_(offset), path_(path) {}

  Header parse() {
    if (!has_magic(bytes_)) fail(0, "here should be the header of a VMDK image");
    if (bytes_.size() < header_bytes) fail(bytes_.size(), "the file ends inside the VMDK header");
    parse_flags();
    parse_grains();
    header_.descriptor = u64(at::descriptor);
    header_.descriptor_length = u64(at::descriptor_length);
    header_.directory = u64(at::directory);
    header_.overhead = u64(at::overhead);
    header_.unclean = bytes_[at::unclean] != std::byte{0};
    return header_;
  }

 private:
  void parse_flags() {
    header_.version = u32(at::version);
    const std::uint32_t flags = u32(at::flags);
    if (header_.version < 1 || header_.version > 3 || (flags & ~flag::known) != 0) {
      throw io::Error(io::ErrorKind::unsupported, path_,
                      fmt::format("is a VMDK image of version {} with flags {:#x}; imgtool knows "
                                  "versions 1 to 3 and flags {:#x}",
                                  header_.version, flags, flag::known));
    }
    if ((flags & flag::newline_test) != 0 &&
        std::memcmp(bytes_.data() + at::newline_test, newline_bytes.data(), newline_bytes.size()) !=
            0) {
      fail(at::newline_test, "line ends were changed on the way here: it was copied as a text");
    }
    header_.zero_grains = (flags & flag::zero_grains) != 0;
    header_.compressed = (flags & flag::compressed) != 0;
    header_.markers = (flags & flag::markers) != 0;
    const auto compression = load_little_endian<std::uint16_t>(bytes_, at::compression);
    if (header_.compressed && compression != deflate) {
      fail(at::compression, fmt::format("there is no VMDK compression {}", compression));
    }
  }

  void parse_grains() {
    header_.capacity = u64(at::capacity);
    header_.grain = u64(at::grain);
    header_.entries = u32(at::entries);
    const std::uint64_t most = header_.compressed ? largest_packed_grain : largest_grain;
    if (!std::has_single_bit(header_.grain) || header_.grain < smallest_grain ||
        header_.grain > most) {
      fail(at::grain, fmt::format("grains of {} sectors are impossible", header_.grain));
    }
    if (!std::has_single_bit(header_.entries) || header_.entries < fewest_entries ||
        header_.entries > most_entries) {
      fail(at::entries, fmt::format("grain tables of {} entries are impossible", header_.entries));
    }
    if (header_.tables() > most_directory_bytes / 4) {
      fail(at::capacity, fmt::format("a disk of {} sectors is too large", header_.capacity));
    }
  }

  [[nodiscard]] std::uint32_t u32(std::size_t at) const {
    return load_little_endian<std::uint32_t>(bytes_, at);
  }
  [[nodiscard]] std::uint64_t u64(std::size_t at) const {
    return load_little_endian<std::uint64_t>(bytes_, at);
  }
  [[noreturn]] void fail(std::uint64_t at, const std::string& text) const {
    throw io::Error::format(path_, offset_ + at, text);
  }

  std::span<const std::byte> bytes_;
  std::uint64_t offset_;
  const std::string& path_;
  Header header_;
};

bool is_footer_marker(std::span<const std::byte> bytes) {
  constexpr std::uint32_t footer = 3;
  return load_little_endian<std::uint64_t>(bytes, 0) == 1 &&
         load_little_endian<std::uint32_t>(bytes, 8) == 0 &&
         load_little_endian<std::uint32_t>(bytes, 12) == footer;
}

// Behind the footer is a marker of the end, which is zeros, and some programs write more of them.
Header read_footer(const io::File& file) {
  constexpr std::uint64_t most_tail = 64 * io::KiB;
  const std::uint64_t end = io::align_down(file.size(), sector);
  const std::uint64_t begin = end - std::min(end, most_tail);
  std::vector<std::byte> tail(end - begin);
  tail.resize(io::align_down(file.read_at(begin, tail), sector));
  const auto last =
      std::find_if(tail.rbegin(), tail.rend(), [](std::byte byte) { return byte != std::byte{0}; });
  const auto used = io::align_up(static_cast<std::uint64_t>(tail.rend() - last), sector);
  if (used >= 2 * sector) {
    const auto two = std::span(tail).subspan(used - 2 * sector, 2 * sector);
    if (is_footer_marker(two.first(sector)) && has_magic(two.subspan(sector))) {
      return parse_header(two.subspan(sector), begin + used - sector, file.path());
    }
  }
  throw io::Error::format(file.path(), file.size(),
                          "here should be the footer of a streamed VMDK: it was cut short");
}

Header read_start(const io::File& file) {
  std::array<std::byte, header_bytes> bytes{};
  const auto start = std::span(bytes).first(file.read_at(0, bytes));
  if (begins_with(start, cowd_magic)) return parse_cowd_header(file);
  return parse_header(start, 0, file.path());
}

void find_directory(const io::File& file, Header& header) {
  if (header.directory != at_end) return;
  const Header footer = read_footer(file);
  if (footer.capacity != header.capacity || footer.grain != header.grain ||
      footer.entries != header.entries || footer.compressed != header.compressed ||
      footer.markers != header.markers || footer.directory == at_end) {
    throw io::Error::format(file.path(), at::capacity,
                            "the header and the footer tell of different disks");
  }
  header.directory = footer.directory;
}

Descriptor read_descriptor(const io::File& file, const Header& header) {
  const std::uint64_t sectors = file.size() / sector;
  if (header.descriptor_length > most_descriptor_bytes / sector || header.descriptor >= sectors ||
      header.descriptor_length > sectors - header.descriptor) {
    throw io::Error::format(file.path(), at::descriptor,
                            fmt::format("a descriptor of {} sectors at sector {} is too long or "
                                        "goes past the end of the file ({} bytes)",
                                        header.descriptor_length, header.descriptor, file.size()));
  }
  std::string text(header.descriptor_length * sector, '\0');
  const auto bytes = std::as_writable_bytes(std::span(text));
  text.resize(file.read_at(header.descriptor * sector, bytes));
  return parse_descriptor(text);
}

// --- of the disk as a whole ---

// What ESXi writes has its descriptor in another file.
bool has_descriptor(const io::File& file) {
  std::array<std::byte, sesparse_magic.size()> start{};
  const auto bytes = std::span(start).first(file.read_at(0, start));
  return !begins_with(bytes, cowd_magic) && !begins_with(bytes, sesparse_magic);
}

}  // namespace

// A disk of several files has its descriptor in one of its own, or in the first part.
void refuse_parts(const std::string& path, const Layout& layout) {
  const Descriptor& descriptor = layout.descriptor;
  const bool is_all =
      descriptor.extents.size() == 1 && (layout.header.capacity != 0 || descriptor.sectors == 0);
  if (is_all) return;
  const std::string what =
      descriptor.extents.empty()
          ? "is one part of a VMware disk, whose descriptor, another file, names all of them"
          : fmt::format("is a VMware disk of {} parts ({}), which lie in other files",
                        descriptor.extents.size(), descriptor.create_type);
  throw io::Error::refusal(path, what + "; open the descriptor, with --follow-references");
}

void refuse_child(const std::string& path, const Descriptor& descriptor) {
  if (descriptor.parent_id == no_parent) return;
  throw io::Error::refusal(path, fmt::format("is over another VMware disk ('{}'), which is read "
                                             "only of a file of its own",
                                             descriptor.parent));
}

std::uint64_t Header::tables() const {
  const std::uint64_t covered = grain * entries;
  return capacity / covered + (capacity % covered != 0 ? 1 : 0);
}

bool has_magic(std::span<const std::byte> start) { return begins_with(start, magic); }

bool is_vmdk(std::span<const std::byte> start) {
  return has_magic(start) || begins_with(start, cowd_magic) || begins_with(start, sesparse_magic) ||
         begins_with(start, descriptor_magic);
}

bool is_descriptor(const io::File& file) {
  std::array<std::byte, descriptor_magic.size()> start{};
  return file.read_at(0, start) == start.size() && begins_with(start, descriptor_magic);
}

Header parse_header(std::span<const std::byte> bytes, std::uint64_t offset,
                    const std::string& path) {
  return Parser(bytes, offset, path).parse();
}

std::vector<std::byte> to_bytes(const Header& header, std::uint64_t overhead) {
  std::vector<std::byte> bytes(header_bytes);
  const std::span<std::byte> all(bytes);
  std::uint32_t flags = flag::newline_test;
  if (header.zero_grains) flags |= flag::zero_grains;
  if (header.compressed) flags |= flag::compressed;
  if (header.markers) flags |= flag::markers;
  std::memcpy(all.data(), magic.data(), magic.size());
  store_little_endian(all, at::version, header.version);
  store_little_endian(all, at::flags, flags);
  store_little_endian(all, at::capacity, header.capacity);
  store_little_endian(all, at::grain, header.grain);
  store_little_endian(all, at::descriptor, header.descriptor);
  store_little_endian(all, at::descriptor_length, header.descriptor_length);
  store_little_endian(all, at::entries, header.entries);
  store_little_endian(all, at::directory, header.directory);
  store_little_endian(all, at::overhead, overhead);
  bytes[at::unclean] = static_cast<std::byte>(header.unclean);
  std::memcpy(all.data() + at::newline_test, newline_bytes.data(), newline_bytes.size());
  if (header.compressed) store_little_endian(all, at::compression, deflate);
  return bytes;
}

Layout read_layout(const io::File& file) {
  if (!has_descriptor(file)) refuse_parts(file.path(), {});
  Layout layout{read_start(file), {}};
  layout.descriptor = read_descriptor(file, layout.header);
  refuse_parts(file.path(), layout);
  find_directory(file, layout.header);
  return layout;
}

Header read_extent_header(const io::File& file) {
  Header header = read_start(file);
  find_directory(file, header);
  return header;
}

Descriptor read_descriptor_file(const io::File& file) {
  if (file.size() > most_descriptor_bytes) {
    throw io::Error::format(file.path(), 0,
                            fmt::format("is too long for a descriptor: {} bytes", file.size()));
  }
  std::string text(file.size(), '\0');
  text.resize(file.read_at(0, std::as_writable_bytes(std::span(text))));
  Descriptor descriptor = parse_descriptor(text);
  if (descriptor.extents.empty() || descriptor.extents.size() > most_extents) {
    throw io::Error::format(
        file.path(), 0,
        descriptor.extents.empty()
            ? std::string("the descriptor names no part of a disk")
            : fmt::format("the descriptor names more than {} parts of a disk", most_extents));
  }
  constexpr std::uint64_t most_sectors = (std::uint64_t{1} << 63) / sector - 1;
  if (descriptor.sectors > most_sectors) {
    throw io::Error::format(file.path(), 0, "the parts that the descriptor names are too large");
  }
  return descriptor;
}

BlockFacts read_facts(const io::File& file) {
  BlockFacts facts;
  Descriptor descriptor;
  if (is_descriptor(file)) {
    descriptor = read_descriptor_file(file);
    facts.virtual_size = descriptor.sectors * sector;
    facts.others = {{"extents", std::uint64_t{descriptor.extents.size()}}};
  } else {
    const Layout layout = read_layout(file);
    facts.virtual_size = layout.header.capacity * sector;
    facts.block_size = layout.header.grain_bytes();
    facts.dirty = layout.header.unclean;
    facts.others = {{"version", std::uint64_t{layout.header.version}}};
    descriptor = layout.descriptor;
  }
  facts.subformat = descriptor.create_type;
  if (descriptor.parent_id != no_parent) {
    facts.backing_file = descriptor.parent.empty() ? "a disk without a name" : descriptor.parent;
  }
  facts.others.push_back({"cid", std::uint64_t{descriptor.content_id}});
  return facts;
}

namespace {

std::string id_text(std::uint32_t id) { return fmt::format("{:08x}", id); }

Descriptor descriptor_of(const io::File& file) {
  return is_descriptor(file) ? read_descriptor_file(file) : read_layout(file).descriptor;
}

}  // namespace

std::optional<ParentReference> parent_of(const io::File& file) {
  const Descriptor descriptor = descriptor_of(file);
  if (descriptor.parent_id == no_parent) return std::nullopt;
  return ParentReference{descriptor.parent, true, Format::vmdk, {id_text(descriptor.parent_id)}};
}

std::string identity_of(const io::File& file) { return id_text(descriptor_of(file).content_id); }

}  // namespace formats::vmdk
