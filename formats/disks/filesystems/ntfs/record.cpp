#include "formats/disks/filesystems/ntfs/record.hpp"

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ntfs/boot_sector.hpp"

namespace formats::filesystems::ntfs {
namespace {

constexpr std::size_t stride = 512;  // of fix-ups, whatever the sectors are
constexpr std::size_t header_bytes = 42;
constexpr std::size_t resident_header_bytes = 24;
constexpr std::size_t other_header_bytes = 64;
constexpr std::uint32_t end_mark = 0xffffffff;

template <class Integer>
Integer load(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<Integer>(bytes, at);
}

}  // namespace

bool undo_fixup(std::span<std::byte> block) {
  const std::size_t strides = block.size() / stride;
  const std::size_t at = load<std::uint16_t>(block, 4);
  const std::size_t count = load<std::uint16_t>(block, 6);
  if (strides == 0 || count != strides + 1 || at < 8 || at % 2 != 0) return false;
  // The marks lie before the first place that they are about.
  if (at + count * 2 > stride - 2) return false;
  const auto mark = load<std::uint16_t>(block, at);
  for (std::size_t i = 1; i <= strides; ++i) {
    const std::size_t place = i * stride - 2;
    if (load<std::uint16_t>(block, place) != mark) return false;
    store_little_endian(block, place, load<std::uint16_t>(block, at + i * 2));
  }
  return true;
}

bool in_use(std::span<const std::byte> record) {
  return load<std::uint32_t>(record, 0) == file_magic && (load<std::uint16_t>(record, 22) & 1) != 0;
}

Record::Record(std::vector<std::byte> bytes, std::uint64_t number)
    : bytes_(std::move(bytes)), number_(number) {
  if (bytes_.size() < stride || !in_use(bytes_)) damaged("is not one that is in use");
  if (!undo_fixup(bytes_)) damaged("was written in part only");
  parse();
}

std::uint16_t Record::sequence() const { return load<std::uint16_t>(bytes_, 16); }

unsigned Record::links() const { return load<std::uint16_t>(bytes_, 18); }

bool Record::is_directory() const { return (load<std::uint16_t>(bytes_, 22) & 2) != 0; }

std::uint64_t Record::base() const { return load<std::uint64_t>(bytes_, 32) & 0x0000ffffffffffff; }

const Attribute* Record::find(AttributeType type) const {
  for (const Attribute& attribute : attributes_) {
    if (attribute.is_unnamed(type)) return &attribute;
  }
  return nullptr;
}

void Record::damaged(std::string_view what) const {
  throw Doubt(Reason::damaged, fmt::format("record {} of its MFT {}", number_, what), remedy_check);
}

void Record::parse() {
  std::size_t at = load<std::uint16_t>(bytes_, 20);
  const std::size_t used = load<std::uint32_t>(bytes_, 24);
  if (used > bytes_.size() || load<std::uint32_t>(bytes_, 28) != bytes_.size()) {
    damaged("has a wrong size");
  }
  const std::span<const std::byte> bytes = std::span(bytes_).first(used);
  if (at < header_bytes || at % 8 != 0) damaged("has no attributes");
  while (at + 4 <= used) {
    if (load<std::uint32_t>(bytes, at) == end_mark) return;
    if (used - at < resident_header_bytes) break;
    const std::size_t length = load<std::uint32_t>(bytes, at + 4);
    if (length < resident_header_bytes || length % 8 != 0 || length > used - at) break;
    attributes_.push_back(parse_attribute(bytes.subspan(at, length)));
    at += length;
  }
  damaged("has an attribute that reaches past its end");
}

Attribute Record::parse_attribute(std::span<const std::byte> bytes) const {
  Attribute attribute;
  attribute.type = load<std::uint32_t>(bytes, 0);
  attribute.named = bytes[9] != std::byte{0};
  attribute.resident = bytes[8] == std::byte{0};
  attribute.flags = load<std::uint16_t>(bytes, 12);
  const std::size_t name_length = std::size_t{2} * std::to_integer<std::size_t>(bytes[9]);
  const std::size_t name_at = load<std::uint16_t>(bytes, 10);
  if (attribute.named) {
    if (name_at > bytes.size() || name_length > bytes.size() - name_at) {
      damaged("has a name that reaches past its end");
    }
    attribute.name = bytes.subspan(name_at, name_length);
  }
  if (std::to_integer<unsigned>(bytes[8]) > 1) damaged("has an attribute of an unknown form");
  if (attribute.resident) {
    const std::size_t length = load<std::uint32_t>(bytes, 16);
    const std::size_t at = load<std::uint16_t>(bytes, 20);
    if (at > bytes.size() || length > bytes.size() - at) {
      damaged("has a value that reaches past its end");
    }
    attribute.value = bytes.subspan(at, length);
    return attribute;
  }
  const std::size_t runs = bytes.size() < other_header_bytes ? 0 : load<std::uint16_t>(bytes, 32);
  if (runs < other_header_bytes || runs > bytes.size()) {
    damaged("has an attribute without a list of its clusters");
  }
  attribute.runs = bytes.subspan(runs);
  attribute.lowest = load<std::uint64_t>(bytes, 16);
  attribute.highest = load<std::uint64_t>(bytes, 24);
  attribute.compression_bits = load<std::uint16_t>(bytes, 34);
  attribute.allocated = load<std::uint64_t>(bytes, 40);
  attribute.size = load<std::uint64_t>(bytes, 48);
  attribute.initialized = load<std::uint64_t>(bytes, 56);
  return attribute;
}

}  // namespace formats::filesystems::ntfs
