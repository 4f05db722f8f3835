// NTFS volumes written by hand: as little as the parser needs, each field in reach.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/ntfs/record.hpp"
#include "tests/formats/disks/filesystems/sparse_disk.hpp"

namespace formats::filesystems::ntfs {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::initializer_list<unsigned> values) {
  Bytes bytes;
  for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

template <class Integer>
void put(Bytes& bytes, std::size_t at, Integer value) {
  store_little_endian<Integer>(bytes, at, value);
}

inline Bytes resident(AttributeType type, const Bytes& value) {
  Bytes bytes(24 + (value.size() + 7) / 8 * 8);
  put(bytes, 0, static_cast<std::uint32_t>(type));
  put(bytes, 4, static_cast<std::uint32_t>(bytes.size()));
  put(bytes, 16, static_cast<std::uint32_t>(value.size()));
  put(bytes, 20, std::uint16_t{24});
  std::copy(value.begin(), value.end(), bytes.begin() + 24);
  return bytes;
}

// `count` clusters of the attribute from `lowest` on, in these runs.
inline Bytes in_clusters(AttributeType type, Vcn lowest, std::uint64_t count, const Bytes& runs,
                         std::uint64_t size) {
  Bytes bytes(64 + (runs.size() + 7) / 8 * 8);
  put(bytes, 0, static_cast<std::uint32_t>(type));
  put(bytes, 4, static_cast<std::uint32_t>(bytes.size()));
  bytes[8] = std::byte{1};
  put(bytes, 16, lowest);
  put(bytes, 24, lowest + count - 1);
  put(bytes, 32, std::uint16_t{64});
  if (lowest == 0) {
    put(bytes, 40, size);
    put(bytes, 48, size);
    put(bytes, 56, size);
  }
  std::copy(runs.begin(), runs.end(), bytes.begin() + 64);
  return bytes;
}

// An entry of a list of attributes.
inline Bytes reference(AttributeType type, Vcn lowest, std::uint64_t record) {
  Bytes bytes(32);
  put(bytes, 0, static_cast<std::uint32_t>(type));
  put(bytes, 4, std::uint16_t{32});
  bytes[7] = std::byte{26};
  put(bytes, 8, lowest);
  put(bytes, 16, record | std::uint64_t{1} << 48);
  return bytes;
}

// A record that is in use, sequence number 1, with fix-ups.
inline Bytes record(const std::vector<Bytes>& attributes, std::uint64_t base = 0,
                    std::size_t size = 1024) {
  Bytes bytes(size);
  std::size_t at = 56;
  for (const Bytes& attribute : attributes) {
    std::copy(attribute.begin(), attribute.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    at += attribute.size();
  }
  put(bytes, at, std::uint32_t{0xffffffff});
  put(bytes, 0, file_magic);
  put(bytes, 4, std::uint16_t{48});
  put(bytes, 6, static_cast<std::uint16_t>(size / 512 + 1));
  put(bytes, 16, std::uint16_t{1});
  put(bytes, 20, std::uint16_t{56});
  put(bytes, 22, std::uint16_t{1});
  put(bytes, 24, static_cast<std::uint32_t>(at + 8));
  put(bytes, 28, static_cast<std::uint32_t>(size));
  put(bytes, 32, base == 0 ? 0 : base | std::uint64_t{1} << 48);
  put(bytes, 48, std::uint16_t{0x1234});
  for (std::size_t i = 1; i <= size / 512; ++i) {
    put(bytes, 48 + 2 * i, load_little_endian<std::uint16_t>(bytes, i * 512 - 2));
    put(bytes, i * 512 - 2, std::uint16_t{0x1234});
  }
  return bytes;
}

// 1000 clusters of 4096 bytes. The boot sector is in cluster 0, 16 records of the MFT are in 4 to
// 7, the log in 8 and 9, $Bitmap in 10; nothing else is in use.
class NtfsDisk {
 public:
  static constexpr std::uint64_t cluster = 4096;
  static constexpr std::uint64_t clusters = 1000;

  NtfsDisk() : disk_((clusters * 8 + 1) * 512) {
    disk_.put_text(3, "NTFS    ");
    disk_.put(11, std::uint16_t{512});
    disk_.put(13, std::uint8_t{8});
    disk_.put(40, clusters * 8);
    disk_.put(48, std::uint64_t{4});
    disk_.put(64, std::uint8_t{256 - 10});
    disk_.put(72, std::uint64_t{0xABC});
    disk_.put(510, std::uint16_t{0xaa55});
    put_record(0, record({in_clusters(AttributeType::data, 0, 4, bytes_of({0x11, 4, 4}), 16384)}));
    put_record(2, record({in_clusters(AttributeType::data, 0, 2, bytes_of({0x11, 2, 8}), 8192)}));
    Bytes information(12);
    information[8] = std::byte{3};
    information[9] = std::byte{1};
    put_record(3, record({resident(AttributeType::volume_information, information)}));
    put_record(6, record({in_clusters(AttributeType::data, 0, 1, bytes_of({0x11, 1, 10}), 125)}));
    disk_.write(8 * cluster, Bytes(8192, std::byte{0xff}));
    for (const unsigned used : {0u, 4u, 5u, 6u, 7u, 8u, 9u, 10u}) set_used(used);
  }

  void put_record(std::uint64_t number, const Bytes& bytes) {
    disk_.write(4 * cluster + number * 1024, bytes);
  }
  void set_used(std::uint64_t number) {
    disk_.at(10 * cluster + number / 8) |= std::byte{1} << (number % 8);
  }
  [[nodiscard]] SparseDisk& disk() { return disk_; }

 private:
  SparseDisk disk_;
};

}  // namespace formats::filesystems::ntfs
