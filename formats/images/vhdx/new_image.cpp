#include "formats/images/vhdx/new_image.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <concepts>
#include <cstring>
#include <string_view>

#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/images/vhdx/fields.hpp"
#include "formats/images/vhdx/header.hpp"

namespace formats::vhdx {
namespace {

constexpr std::uint64_t log_at = unit;
constexpr std::uint64_t metadata_at = 2 * unit;
constexpr std::uint64_t table_at = 3 * unit;
constexpr std::uint32_t sector = 512;
constexpr std::uint32_t physical_sector = 4096;
constexpr std::uint64_t stored = 6;  // of an entry: fully present
constexpr std::uint64_t most_table_bytes = 64 * io::MiB;
constexpr std::string_view creator = "imgtool";

// Microsoft's mixed order: those of RFC 9562 with the first three numbers turned.
Guid guid_of(const Uuid& uuid) {
  Guid guid = uuid;
  std::reverse(guid.begin(), guid.begin() + 4);
  std::reverse(guid.begin() + 4, guid.begin() + 6);
  std::reverse(guid.begin() + 6, guid.begin() + 8);
  return guid;
}

void put(std::vector<std::byte>& bytes, std::size_t place, const Guid& guid) {
  std::copy(guid.begin(), guid.end(), bytes.begin() + static_cast<std::ptrdiff_t>(place));
}

template <std::unsigned_integral Number>
void put(std::vector<std::byte>& bytes, std::size_t place, Number value) {
  store_little_endian(std::span<std::byte>(bytes), place, value);
}

void put(std::vector<std::byte>& bytes, std::size_t place, std::string_view text) {
  std::memcpy(bytes.data() + place, text.data(), text.size());
}

// A structure with its checksum behind its signature.
std::vector<std::byte> sealed(std::vector<std::byte> bytes) {
  put(bytes, 4, crc32c(bytes));
  return bytes;
}

std::uint64_t ratio_of(std::uint64_t block_size) {
  return (std::uint64_t{1} << 23) * sector / block_size;
}

std::uint64_t entries_of(std::uint64_t size, std::uint64_t block_size) {
  const std::uint64_t blocks = io::align_up(size, block_size) / block_size;
  const std::uint64_t bitmaps = blocks == 0 ? 0 : (blocks - 1) / ratio_of(block_size);
  return blocks + bitmaps;
}

std::uint64_t table_bytes_of(std::uint64_t size, std::uint64_t block_size) {
  const std::uint64_t bytes = entries_of(size, block_size) * sizeof(std::uint64_t);
  return std::max(io::align_up(bytes, unit), unit);
}

std::vector<std::byte> identifier() {
  std::vector<std::byte> bytes(creator_at + creator_bytes);
  put(bytes, 0, magic);
  for (std::size_t i = 0; i < creator.size(); ++i) {
    put(bytes, creator_at + 2 * i, std::uint16_t{static_cast<unsigned char>(creator[i])});
  }
  return bytes;
}

std::vector<std::byte> header(std::uint64_t sequence, const Guid& file_write,
                              const Guid& data_write) {
  std::vector<std::byte> bytes(header_bytes);
  put(bytes, 0, std::string_view("head"));
  put(bytes, 8, sequence);
  put(bytes, 16, file_write);
  put(bytes, 32, data_write);
  put(bytes, 66, std::uint16_t{1});
  put(bytes, 68, static_cast<std::uint32_t>(unit));  // the log's length and place
  put(bytes, 72, log_at);
  return sealed(std::move(bytes));
}

std::vector<std::byte> regions(std::uint64_t table_length) {
  std::vector<std::byte> bytes(table_bytes);
  put(bytes, 0, std::string_view("regi"));
  put(bytes, 8, std::uint32_t{2});
  const auto row = [&bytes](std::size_t number, const Guid& what, io::ByteRange place) {
    const std::size_t at = 16 + number * row_bytes;
    put(bytes, at, what);
    put(bytes, at + 16, place.offset);
    put(bytes, at + 24, static_cast<std::uint32_t>(place.length));
    put(bytes, at + 28, std::uint32_t{1});  // must be understood
  };
  row(0, block_table_region, {table_at, table_length});
  row(1, metadata_region, {metadata_at, unit});
  return sealed(std::move(bytes));
}

// The table of metadata, and its items behind it.
class MetadataWriter {
 public:
  MetadataWriter() : bytes_(table_bytes + item_bytes_) { put(bytes_, 0, "metadata"); }

  void add(const Guid& what, const std::vector<std::byte>& value, std::uint32_t flags) {
    const std::size_t at = 32 + std::size_t{count_} * row_bytes;
    put(bytes_, at, what);
    put(bytes_, at + 16, static_cast<std::uint32_t>(end_));
    put(bytes_, at + 20, static_cast<std::uint32_t>(value.size()));
    put(bytes_, at + 24, flags);
    std::copy(value.begin(), value.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(end_));
    end_ += value.size();
    put(bytes_, 10, ++count_);
  }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  static constexpr std::size_t item_bytes_ = 4096;
  std::vector<std::byte> bytes_;
  std::size_t end_ = table_bytes;
  std::uint16_t count_ = 0;
};

template <class... Numbers>
std::vector<std::byte> value_of(Numbers... numbers) {
  std::vector<std::byte> bytes((sizeof(numbers) + ...));
  std::size_t at = 0;
  ((put(bytes, at, numbers), at += sizeof(numbers)), ...);
  return bytes;
}

class DynamicLayout final : public BlockLayout {
 public:
  DynamicLayout(std::uint64_t size, std::uint64_t block_size)
      : size_(io::align_up(size, sector)),
        block_size_(block_size),
        table_bytes_(table_bytes_of(size, block_size)),
        table_(entries_of(size, block_size)),
        end_(table_at + table_bytes_) {}

  [[nodiscard]] std::uint64_t block_size() const override { return block_size_; }

  std::uint64_t place(std::uint64_t index) override {
    std::uint64_t& entry = table_.at(index + index / ratio_of(block_size_));
    if (entry == 0) {
      entry = end_ | stored;
      end_ += block_size_;
    }
    return entry - stored;
  }

  [[nodiscard]] std::uint64_t file_bytes() const override { return end_; }

  [[nodiscard]] std::vector<io::Patch> finish(const ContentIdentity& identity) const override {
    const Guid file_write = guid_of(identity.uuid(size_, 0));
    const Guid data_write = guid_of(identity.uuid(size_, 1));
    return {{0, identifier()},
            {header_places[0], header(1, file_write, data_write)},
            {header_places[1], header(2, file_write, data_write)},
            {region_places[0], regions(table_bytes_)},
            {region_places[1], regions(table_bytes_)},
            {metadata_at, metadata(guid_of(identity.uuid(size_, 2)))},
            {table_at, table()}};
  }

 private:
  [[nodiscard]] std::vector<std::byte> metadata(const Guid& disk) const {
    constexpr std::uint32_t required = 4;
    constexpr std::uint32_t of_disk = 2;
    MetadataWriter metadata;
    metadata.add(file_parameters,
                 value_of(static_cast<std::uint32_t>(block_size_), std::uint32_t{0}), required);
    metadata.add(virtual_disk_size, value_of(size_), required | of_disk);
    metadata.add(page_83_data, {disk.begin(), disk.end()}, required | of_disk);
    metadata.add(logical_sector_size, value_of(sector), required | of_disk);
    metadata.add(physical_sector_size, value_of(physical_sector), required | of_disk);
    return metadata.take();
  }

  [[nodiscard]] std::vector<std::byte> table() const {
    std::vector<std::byte> bytes(table_.size() * sizeof(std::uint64_t));
    for (std::size_t i = 0; i < table_.size(); ++i) {
      put(bytes, i * sizeof(std::uint64_t), table_[i]);
    }
    return bytes;
  }

  std::uint64_t size_;
  std::uint64_t block_size_;
  std::uint64_t table_bytes_;         // whole units
  std::vector<std::uint64_t> table_;  // with those of bitmaps, which there are none of
  std::uint64_t end_;
};

}  // namespace

std::uint64_t usual_block_size(std::uint64_t size) {
  constexpr std::uint64_t most_blocks = std::uint64_t{1} << 21;  // a table of 16 MiB
  std::uint64_t block_size = 2 * io::MiB;
  while (size / block_size > most_blocks) block_size *= 2;
  return block_size;
}

bool fits(std::uint64_t size, std::uint64_t block_size) {
  return size <= largest_new_disk && table_bytes_of(size, block_size) <= most_table_bytes;
}

std::unique_ptr<BlockLayout> new_image(std::uint64_t size, std::uint64_t block_size) {
  assert(fits(size, block_size));
  return std::make_unique<DynamicLayout>(size, block_size);
}

}  // namespace formats::vhdx
