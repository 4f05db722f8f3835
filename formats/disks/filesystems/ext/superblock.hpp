// The superblock of ext2, ext3 and ext4, checked once.
//
// Block numbers count from the file system's begin, in units of block_size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace formats::filesystems::ext {

inline constexpr std::uint64_t superblock_offset = 1024;
inline constexpr std::size_t superblock_size = 1024;

inline constexpr const char* run_fsck = "check it (e2fsck -f)";  // a remedy

struct Superblock {
  std::uint64_t blocks = 0;
  std::uint64_t free_blocks = 0;
  std::uint32_t first_data_block = 0;
  std::uint32_t block_size = 0;
  std::uint32_t blocks_per_cluster = 1;
  std::uint32_t blocks_per_group = 0;
  std::uint32_t clusters_per_group = 0;
  std::uint32_t inodes = 0;
  std::uint32_t inodes_per_group = 0;
  std::uint32_t inode_size = 128;
  std::uint32_t descriptor_size = 32;
  std::uint32_t reserved_gdt_blocks = 0;
  std::uint32_t first_meta_bg = 0;
  std::array<std::uint32_t, 2> backup_groups{};  // of sparse_super2
  std::uint32_t journal_inode = 0;
  std::uint64_t mmp_block = 0;
  std::uint32_t checksum_seed = 0;  // of everything but the superblock
  std::array<std::byte, 16> uuid{};

  bool journal = false;
  bool needs_recovery = false;
  bool meta_bg = false;
  bool sparse_super = false;
  bool sparse_super2 = false;
  bool metadata_checksums = false;
  bool group_checksums = false;  // of descriptors alone, by crc16
  bool multiple_mount_protection = false;
  bool huge_files = false;  // inodes may count their blocks in 48 bits, or in whole blocks

  [[nodiscard]] std::uint64_t size() const { return blocks * block_size; }
  [[nodiscard]] std::uint32_t groups() const;
  [[nodiscard]] std::uint32_t inode_table_blocks() const;
  [[nodiscard]] std::uint32_t descriptors_per_block() const { return block_size / descriptor_size; }
  [[nodiscard]] std::uint32_t descriptor_blocks() const;
  [[nodiscard]] bool has_uninitialised_groups() const {
    return metadata_checksums || group_checksums;
  }

  [[nodiscard]] std::uint64_t first_block(std::uint32_t group) const;
  // Behind the group's last one.
  [[nodiscard]] std::uint64_t end_block(std::uint32_t group) const;
  [[nodiscard]] std::uint32_t clusters(std::uint32_t group) const;
  // Whether a copy of the superblock lies in the group.
  [[nodiscard]] bool has_superblock(std::uint32_t group) const;
  // Where the n-th block of group descriptors lies.
  [[nodiscard]] std::uint64_t descriptor_block(std::uint32_t n) const;

  friend bool operator==(const Superblock&, const Superblock&) = default;
};

// What it is called, for what is kept whole as well.
struct Name {
  std::string type;
  std::string label;
  std::string uuid;
};

// `bytes` are superblock_size long here.
[[nodiscard]] bool is_superblock(std::span<const std::byte> bytes);
// What it claims to be the size of the file system, before any check; 0 for nonsense.
[[nodiscard]] std::uint64_t claimed_size(std::span<const std::byte> bytes);
[[nodiscard]] Name name_of(std::span<const std::byte> bytes);
// Whether it matters that it was not unmounted, or that its kernel found errors.
enum class StateCheck : std::uint8_t { clean, any };

// Throws Doubt.
[[nodiscard]] Superblock parse_superblock(std::span<const std::byte> bytes,
                                          StateCheck check = StateCheck::clean);

}  // namespace formats::filesystems::ext
