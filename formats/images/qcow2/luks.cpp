#include "formats/images/qcow2/luks.hpp"

#include <algorithm>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::size_t header_bytes = 592;
constexpr std::string_view luks_magic = {"LUKS\xba\xbe\0\1",
                                         8};  // and version 1, the only one in qcow2
constexpr std::uint32_t active_slot = 0x00ac71f3;
constexpr std::uint64_t sector = 512;

// Where each field stands.
namespace luks_field {
constexpr std::size_t cipher = 8;
constexpr std::size_t mode = 40;
constexpr std::size_t hash = 72;
constexpr std::size_t payload = 104;
constexpr std::size_t key_bytes = 108;
constexpr std::size_t iterations = 164;
constexpr std::size_t uuid = 168;
constexpr std::size_t slots = 208;
constexpr std::size_t slot_bytes = 48;
}  // namespace luks_field

std::string text(std::span<const std::byte> bytes, std::size_t offset, std::size_t most) {
  const std::string_view field{reinterpret_cast<const char*>(bytes.data()) + offset, most};
  return std::string(field.substr(0, field.find('\0')));
}

// "xts-plain64", "cbc-essiv:sha256".
void split_mode(const std::string& words, LuksHeader& luks) {
  const std::size_t dash = std::min(words.find('-'), words.size());
  const std::size_t colon = std::min(words.find(':', dash), words.size());
  luks.mode = words.substr(0, dash);
  if (dash < words.size()) luks.iv = words.substr(dash + 1, colon - dash - 1);
  if (colon < words.size()) luks.iv_hash = words.substr(colon + 1);
}

LuksKeySlot slot_at(std::span<const std::byte> bytes, std::size_t offset) {
  LuksKeySlot slot;
  slot.active = load_big_endian<std::uint32_t>(bytes, offset) == active_slot;
  slot.iterations = load_big_endian<std::uint32_t>(bytes, offset + 4);
  slot.key_offset = load_big_endian<std::uint32_t>(bytes, offset + 40) * sector;
  slot.stripes = load_big_endian<std::uint32_t>(bytes, offset + 44);
  return slot;
}

}  // namespace

std::optional<LuksHeader> read_luks(const TableReader& tables, const Header& header) {
  if (!header.encryption_header) return std::nullopt;
  const HostOffset offset{header.encryption_header->offset};
  std::array<std::byte, header_bytes> bytes{};
  if (header.encryption_header->length < header_bytes) {
    throw io::Error::format(tables.path(), offset.value, "the encryption header is too short");
  }
  tables.read(offset, bytes, "the encryption header");
  if (std::string_view(reinterpret_cast<const char*>(bytes.data()), luks_magic.size()) !=
      luks_magic) {
    throw io::Error::format(tables.path(), offset.value, "is not a LUKS header of version 1");
  }
  LuksHeader luks;
  split_mode(text(bytes, luks_field::mode, 32), luks);
  // XTS takes two keys of the cipher's length.
  const std::uint64_t keys = luks.mode == "xts" ? 2 : 1;
  luks.cipher =
      fmt::format("{}-{}", text(bytes, luks_field::cipher, 32),
                  load_big_endian<std::uint32_t>(bytes, luks_field::key_bytes) * 8ULL / keys);
  luks.hash = text(bytes, luks_field::hash, 32);
  luks.uuid = text(bytes, luks_field::uuid, 40);
  luks.payload_offset = load_big_endian<std::uint32_t>(bytes, luks_field::payload) * sector;
  luks.master_key_iterations = load_big_endian<std::uint32_t>(bytes, luks_field::iterations);
  for (std::size_t i = 0; i < luks.slots.size(); ++i) {
    luks.slots[i] = slot_at(bytes, luks_field::slots + i * luks_field::slot_bytes);
  }
  return luks;
}

}  // namespace formats::qcow2
