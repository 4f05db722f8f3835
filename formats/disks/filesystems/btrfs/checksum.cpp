#include "formats/disks/filesystems/btrfs/checksum.hpp"

#include <array>
#include <string>

#include "formats/bytes/blake2b.hpp"
#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "io/digest.hpp"
#include "io/xxh64.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::size_t room = 32;  // for the longest kind of checksum

std::string hex_of(Bytes bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<std::size_t>(byte >> 4)];
    text += digits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return text;
}

// In hexadecimal, as long as it is stored.
std::string checksum_of(Bytes content, ChecksumKind kind) {
  if (kind == ChecksumKind::xxhash64) return hex_of(little_endian_bytes(io::xxh64(content)));
  if (kind == ChecksumKind::blake2b) return hex_of(blake2b_256(content));
  io::Digest digest(io::DigestAlgorithm::sha256);
  digest.update(content);
  return digest.hex();
}

}  // namespace

bool has_right_checksum(Bytes block, ChecksumKind kind) {
  const Bytes content = block.subspan(room);
  if (kind == ChecksumKind::crc32c) {
    return checksum_fits(load_little_endian<std::uint32_t>(block, 0), crc32c(content));
  }
  const std::string computed = checksum_of(content, kind);
  return checksum_fits(hex_of(block.first(computed.size() / 2)), computed);
}

}  // namespace formats::filesystems::btrfs
