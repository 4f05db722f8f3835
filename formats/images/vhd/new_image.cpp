#include "formats/images/vhd/new_image.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/vhd/fields.hpp"

namespace formats::vhd {
namespace {

constexpr std::uint64_t block_bytes = 2 * io::MiB;
constexpr std::uint64_t alignment = 4 * io::KiB;
constexpr std::uint64_t header_at = footer_bytes;
constexpr std::uint64_t table_at = header_at + dynamic_header_bytes;
constexpr std::uint64_t no_place = ~std::uint64_t{0};
constexpr std::uint32_t absent_block = ~std::uint32_t{0};

struct Geometry {
  std::uint64_t cylinders = 0;
  std::uint64_t heads = 0;
  std::uint64_t sectors = 0;  // of a track

  [[nodiscard]] std::uint64_t size() const { return cylinders * heads * sectors * sector; }
};

constexpr Geometry largest_geometry{65535, 16, 255};

// The one that the specification's appendix computes.
Geometry usual_geometry(std::uint64_t all_sectors) {
  constexpr std::uint64_t most_cylinders = 1024;
  constexpr std::uint64_t most_heads = 16;
  if (all_sectors >= 65535 * most_heads * 63) return largest_geometry;
  Geometry geometry{0, 0, 17};
  std::uint64_t tracks = all_sectors / geometry.sectors;
  geometry.heads = std::max<std::uint64_t>((tracks + most_cylinders - 1) / most_cylinders, 4);
  if (tracks >= geometry.heads * most_cylinders || geometry.heads > most_heads) {
    geometry.sectors = 31;
    geometry.heads = most_heads;
    tracks = all_sectors / geometry.sectors;
  }
  if (tracks >= geometry.heads * most_cylinders) {
    geometry.sectors = 63;
    tracks = all_sectors / geometry.sectors;
  }
  geometry.cylinders = tracks / geometry.heads;
  return geometry;
}

std::vector<std::byte> footer_of(std::uint64_t size, Kind kind, const Uuid& id) {
  std::vector<std::byte> bytes(footer_bytes);
  const std::span<std::byte> all(bytes);
  const auto put = [all](std::size_t place, std::string_view text) {
    std::memcpy(all.data() + place, text.data(), text.size());
  };
  Geometry geometry = usual_geometry(size / sector);
  if (geometry.size() != size) geometry = largest_geometry;
  put(0, footer_cookie);
  store_big_endian(all, at::features, std::uint32_t{2});  // reserved, and always set
  store_big_endian(all, at::version, version_1_0);
  store_big_endian(all, at::header_offset, kind == Kind::fixed ? no_place : header_at);
  put(at::creator, "imgt");
  store_big_endian(all, at::creator_version, version_1_0);
  put(at::creator_host, "Wi2k");
  store_big_endian(all, at::original_size, size);
  store_big_endian(all, at::current_size, size);
  store_big_endian(all, at::cylinders, static_cast<std::uint16_t>(geometry.cylinders));
  bytes[at::heads] = static_cast<std::byte>(geometry.heads);
  bytes[at::sectors] = static_cast<std::byte>(geometry.sectors);
  store_big_endian(all, at::kind, static_cast<std::uint32_t>(kind));
  std::copy(id.begin(), id.end(), bytes.begin() + at::id);
  store_big_endian(all, at::checksum, ones_complement(bytes, at::checksum));
  return bytes;
}

// Blocks are where they are on the disk.
class FixedLayout final : public BlockLayout {
 public:
  explicit FixedLayout(std::uint64_t size) : size_(io::align_up(size, sector)) {}

  [[nodiscard]] std::uint64_t block_size() const override { return block_bytes; }
  std::uint64_t place(std::uint64_t index) override { return index * block_bytes; }
  [[nodiscard]] std::uint64_t file_bytes() const override { return size_ + footer_bytes; }
  [[nodiscard]] std::vector<io::Patch> finish(const ContentIdentity& identity) const override {
    return {{size_, footer_of(size_, Kind::fixed, identity.uuid(size_, 0))}};
  }

 private:
  std::uint64_t size_;
};

class DynamicLayout final : public BlockLayout {
 public:
  explicit DynamicLayout(std::uint64_t size)
      : size_(io::align_up(size, sector)),
        table_(io::align_up(size, block_bytes) / block_bytes, absent_block),
        end_(io::align_up(table_at + table_bytes() + bitmap_bytes, alignment) - bitmap_bytes) {
    // Each sector of a block counts as written.
    std::fill(lead_.end() - bitmap_bytes, lead_.end(), std::byte{0xff});
  }

  [[nodiscard]] std::uint64_t block_size() const override { return block_bytes; }
  [[nodiscard]] std::span<const std::byte> lead() const override { return lead_; }

  std::uint64_t place(std::uint64_t index) override {
    std::uint32_t& entry = table_.at(index);
    if (entry == absent_block) {
      entry = static_cast<std::uint32_t>(end_ / sector);
      end_ += stride;
    }
    return std::uint64_t{entry} * sector + bitmap_bytes;
  }

  [[nodiscard]] std::uint64_t file_bytes() const override { return end_ + footer_bytes; }

  [[nodiscard]] std::vector<io::Patch> finish(const ContentIdentity& identity) const override {
    const auto footer = footer_of(size_, Kind::dynamic, identity.uuid(size_, 0));
    std::vector<std::byte> front = footer;
    const std::vector<std::byte> header = header_bytes();
    front.insert(front.end(), header.begin(), header.end());
    // What is left of the table's last sector is no block either.
    front.resize(table_at + table_bytes(), std::byte{0xff});
    for (std::size_t i = 0; i < table_.size(); ++i) {
      store_big_endian(std::span<std::byte>(front), table_at + i * sizeof(std::uint32_t),
                       table_[i]);
    }
    return {{0, std::move(front)}, {end_, footer}};
  }

 private:
  static constexpr std::uint64_t bitmap_bytes = block_bytes / sector / 8;  // one sector
  // So that the content behind each bitmap is aligned.
  static constexpr std::uint64_t stride = block_bytes + alignment;

  [[nodiscard]] std::uint64_t table_bytes() const {
    return io::align_up(table_.size() * sizeof(std::uint32_t), sector);
  }

  [[nodiscard]] std::vector<std::byte> header_bytes() const {
    std::vector<std::byte> bytes(dynamic_header_bytes);
    const std::span<std::byte> all(bytes);
    std::memcpy(all.data(), header_cookie.data(), header_cookie.size());
    store_big_endian(all, in_header::next, no_place);
    store_big_endian(all, in_header::table_offset, table_at);
    store_big_endian(all, in_header::version, version_1_0);
    store_big_endian(all, in_header::entries, static_cast<std::uint32_t>(table_.size()));
    store_big_endian(all, in_header::block_size, static_cast<std::uint32_t>(block_bytes));
    store_big_endian(all, in_header::checksum, ones_complement(bytes, in_header::checksum));
    return bytes;
  }

  std::uint64_t size_;
  std::vector<std::uint32_t> table_;  // sectors of bitmaps
  std::uint64_t end_;                 // of the last block
  // Zeros up to the bitmap, which fill the 4 KiB before the content.
  std::array<std::byte, alignment> lead_{};
};

}  // namespace

std::unique_ptr<BlockLayout> new_image(std::uint64_t size, Kind kind) {
  assert(size <= largest_disk && kind != Kind::differencing);
  if (kind == Kind::fixed) return std::make_unique<FixedLayout>(size);
  return std::make_unique<DynamicLayout>(size);
}

}  // namespace formats::vhd
