#include "formats/images/qcow2/refcounts.hpp"

#include <algorithm>

#include <sys/stat.h>

#include "formats/bytes/big_endian.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t block_offset_mask = ~std::uint64_t{511};
// Enough for 4 TiB of 64 KiB clusters, and little enough for a hostile image.
constexpr std::uint64_t most_clusters_to_count = std::uint64_t{1} << 26;

}  // namespace

std::uint64_t refcount_in(std::span<const std::byte> block, std::uint64_t index,
                          std::uint32_t bits) {
  switch (bits) {
    case 64:
      return load_big_endian<std::uint64_t>(block, index * 8);
    case 32:
      return load_big_endian<std::uint32_t>(block, index * 4);
    case 16:
      return load_big_endian<std::uint16_t>(block, index * 2);
    default:
      break;
  }
  // Several in a byte, the first one in the lowest bits.
  const std::uint64_t per_byte = 8 / bits;
  const auto byte = std::to_integer<unsigned>(block[index / per_byte]);
  return (byte >> (index % per_byte * bits)) & ((1U << bits) - 1);
}

void set_refcount_in(std::span<std::byte> block, std::uint64_t index, std::uint32_t bits,
                     std::uint64_t value) {
  switch (bits) {
    case 64:
      return store_big_endian(block, index * 8, value);
    case 32:
      return store_big_endian(block, index * 4, static_cast<std::uint32_t>(value));
    case 16:
      return store_big_endian(block, index * 2, static_cast<std::uint16_t>(value));
    default:
      break;
  }
  const std::uint64_t per_byte = 8 / bits;
  const std::uint64_t shift = index % per_byte * bits;
  const std::uint64_t mask = ((std::uint64_t{1} << bits) - 1) << shift;
  const auto byte = std::to_integer<std::uint64_t>(block[index / per_byte]);
  block[index / per_byte] = static_cast<std::byte>((byte & ~mask) | (value << shift));
}

Refcounts::Refcounts(TableReader& tables, const Header& header)
    : tables_(tables),
      header_(header),
      clusters_per_block_(header.geometry.cluster_size() * 8 / header.refcount_bits) {
  std::vector<std::byte> bytes(header.refcount_table_clusters * header.geometry.cluster_size());
  tables.read(header.refcount_table_offset, bytes, "the refcount table");
  table_.resize(bytes.size() / 8);
  places_.resize(table_.size());
  for (std::size_t i = 0; i < table_.size(); ++i) {
    table_[i] = load_big_endian<std::uint64_t>(bytes, i * 8);
  }
}

// A small file can name a million blocks in a hole, and reading each takes a page of the cache.
bool Refcounts::is_hole(std::uint64_t block) {
  if (places_[block] == Place::unknown) {
    const HostOffset offset{table_[block] & block_offset_mask};
    places_[block] =
        tables_.is_hole(offset, header_.geometry.cluster_size()) ? Place::hole : Place::data;
  }
  return places_[block] == Place::hole;
}

std::optional<std::uint64_t> Refcounts::of(std::uint64_t cluster) {
  const std::uint64_t block = cluster / clusters_per_block_;
  if (block >= table_.size()) return 0;
  const HostOffset offset{table_[block] & block_offset_mask};
  if (offset.value == 0) return 0;
  if (header_.geometry.offset_in_cluster(offset.value) != 0) return std::nullopt;
  // 16 bytes hold whole entries of any width. What is past the end of the file reads as zeros.
  const std::uint64_t index = cluster % clusters_per_block_;
  const std::uint64_t start = io::align_down(index * header_.refcount_bits / 8, 16);
  if (offset.value > tables_.file_size() || start + 16 > tables_.file_size() - offset.value) {
    return 0;
  }
  if (is_hole(block)) return 0;
  const auto bytes = tables_.cached(offset + start, 16);
  return refcount_in(bytes, index - start * 8 / header_.refcount_bits, header_.refcount_bits);
}

bool looks_preallocated(const io::File& file, TableReader& tables, const Header& header) {
  struct stat status {};
  if (fstat(file.fd(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const std::uint64_t cluster_size = header.geometry.cluster_size();
  const std::uint64_t on_disk = static_cast<std::uint64_t>(status.st_blocks) * 512 / cluster_size;
  const std::uint64_t threshold = std::max(on_disk * 10 / 9, on_disk + 2);
  const std::uint64_t clusters = std::min(
      io::align_up(tables.file_size(), cluster_size) / cluster_size, most_clusters_to_count);
  Refcounts refcounts(tables, header);
  std::uint64_t counted = 0;
  for (std::uint64_t cluster = 0; cluster < clusters && counted < threshold; ++cluster) {
    const auto count = refcounts.of(cluster);
    if (!count) return false;
    if (*count != 0) ++counted;
  }
  return counted >= threshold;
}

}  // namespace formats::qcow2
