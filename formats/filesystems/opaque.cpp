#include "formats/filesystems/opaque.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "formats/big_endian.hpp"
#include "formats/little_endian.hpp"

namespace formats::filesystems {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view verity = "DM_verity_hash";
constexpr std::string_view verified_boot = "android_verified_boot";

// Bytes at a place that give a type away.
struct Signature {
  std::string_view type;
  std::uint64_t offset;
  std::string_view magic;
};

constexpr auto signatures = std::to_array<Signature>({
    // Encrypted.
    {"crypto_LUKS", 0, "LUKS\xba\xbe"sv},
    {"crypto_LUKS", 0x4000, "SKUL\xba\xbe"sv},
    {"BitLocker", 3, "-FVE-FS-"sv},
    {"BitLocker", 424, "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"sv},
    {"cs_fvault2", 88, "CS\x01\0"sv},
    // Members of something larger.
    {"linux_raid_member", 0, "\xfc\x4e\x2b\xa9"sv},
    {"linux_raid_member", 4096, "\xfc\x4e\x2b\xa9"sv},
    {"bcache", 4120, "\xc6\x85\x73\xf6"sv},
    {"LVM1_member", 0, "HM\x01\x00"sv},
    {"DM_snapshot_cow", 0, "SnAp"sv},
    {"DM_integrity", 0, "integrity\0"sv},
    {"vdo", 0, "dmvdo001"sv},
    {"stratis", 516, "!Stra0tis\x86\xff\x02^\x41rh"sv},
    {"ceph_bluestore", 0, "bluestore block device"sv},
    {"VMFS_volume_member", 0x100000, "\x0d\xd0\x01\xc0"sv},
    {"VMFS", 0x200000, "\x5e\xf1\xab\x2f"sv},
    {"oracleasm", 32, "ORCLDISK"sv},
    {"ldm_member", 3072, "PRIVHEAD"sv},
    // Hashes over other partitions.
    {verity, 0, "verity\0\0"sv},
    {verified_boot, 0, "AVB0"sv},
    // File systems without a parser.
    {"ReFS", 3, "ReFS\0"sv},
    {"apfs", 32, "NXSB"sv},
    {"hfsplus", 1024, "H+\0\x04"sv},
    {"hfsplus", 1024, "HX\0\x05"sv},
    {"hfs", 1024, "BD"sv},
    {"f2fs", 1024, "\x10\x20\xf5\xf2"sv},
    {"erofs", 1024, "\xe2\xe1\xf5\xe0"sv},
    {"squashfs", 0, "hsqs"sv},
    {"squashfs", 0, "sqsh"sv},
    {"cramfs", 0, "\x45\x3d\xcd\x28"sv},
    {"cramfs", 0, "\x28\xcd\x3d\x45"sv},
    {"romfs", 0, "-rom1fs-"sv},
    {"iso9660", 32769, "CD001"sv},
    {"udf", 32769, "BEA01"sv},
    {"udf", 34817, "NSR0"sv},
    {"jfs", 32768, "JFS1"sv},
    {"reiserfs", 8192 + 52, "ReIsEr"sv},
    {"reiserfs", 65536 + 52, "ReIsEr"sv},
    {"reiser4", 65536, "ReIsEr4"sv},
    {"gfs2", 65536, "\x01\x16\x19\x70"sv},
    {"ocfs2", 1024, "OCFSV2"sv},
    {"ocfs2", 2048, "OCFSV2"sv},
    {"ocfs2", 4096, "OCFSV2"sv},
    {"ocfs2", 8192, "OCFSV2"sv},
    {"ufs", 8192 + 1372, "\x54\x19\x01\x00"sv},
    {"ufs", 65536 + 1372, "\x19\x01\x54\x19"sv},
    {"nilfs2", 1024, "\x02\x00\x00\x00\x00\x00\x34\x34"sv},
    {"ubi", 0, "UBI#"sv},
    {"ubifs", 0, "\x31\x18\x10\x06"sv},
});

bool has_bytes(DiskView& container, std::uint64_t offset, std::string_view magic) {
  if (!container.holds(offset, magic.size())) return false;
  const auto found = container.read(offset, magic.size());
  return std::equal(magic.begin(), magic.end(), found.begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

// The same, `distance` bytes in front of the end.
bool ends_with(DiskView& container, std::uint64_t distance, std::string_view magic) {
  return container.size() >= distance && has_bytes(container, container.size() - distance, magic);
}

// md 0.90 and 1.0 keep their superblock at the end of the member, so that what lies in a mirror
// can be read without md, and looks whole where it is one stripe of many.
bool has_raid_at_end(DiskView& container) {
  constexpr std::string_view magic = "\xfc\x4e\x2b\xa9"sv;
  constexpr std::string_view big_endian_magic = "\xa9\x2b\x4e\xfc"sv;
  const std::uint64_t old_place =
      container.size() < 128 * io::KiB
          ? container.size()
          : io::align_down(container.size(), 64 * io::KiB) - 64 * io::KiB;
  if (has_bytes(container, old_place, magic) || has_bytes(container, old_place, big_endian_magic)) {
    return true;
  }
  const std::uint64_t sectors = container.size() / 512;
  return sectors >= 24 && has_bytes(container, ((sectors - 16) & ~std::uint64_t{7}) * 512, magic);
}

// Mainboards' RAID.
bool has_firmware_raid(DiskView& container) {
  return ends_with(container, 1024, "Intel Raid ISM Cfg Sig. ") ||
         ends_with(container, 512, "\xde\x11\xde\x11"sv) ||
         ends_with(container, std::uint64_t{257} * 512, "\xde\x11\xde\x11"sv) ||
         ends_with(container, 1024, "NVIDIA  ") || ends_with(container, 512, "$XIDE$");
}

bool has_drbd(DiskView& container) {
  if (container.size() < 8192) return false;
  const auto block = container.read(io::align_down(container.size(), 4096) - 4096, 256);
  for (std::size_t at = 0; at < block.size(); at += 4) {
    const auto word = load_big_endian<std::uint32_t>(block, at);
    if (word >= 0x8374026b && word <= 0x8374026d) return true;
  }
  return false;
}

// Four labels, two at each end; the second half of each is a ring of uberblocks.
bool has_zfs_label(DiskView& container, std::uint64_t label) {
  constexpr std::size_t ring_size = 128 * io::KiB;
  if (!container.holds(label + ring_size, ring_size)) return false;
  const auto ring = container.read(label + ring_size, ring_size);
  for (std::size_t at = 0; at < ring.size(); at += io::KiB) {
    constexpr std::uint64_t magic = 0x00bab10c;
    if (load_little_endian<std::uint64_t>(ring, at) == magic ||
        load_big_endian<std::uint64_t>(ring, at) == magic) {
      return true;
    }
  }
  return false;
}

bool has_zfs(DiskView& container) {
  constexpr std::uint64_t label_size = 256 * io::KiB;
  if (has_zfs_label(container, 0)) return true;
  const std::uint64_t end = io::align_down(container.size(), label_size);
  return end >= 4 * label_size && has_zfs_label(container, end - 2 * label_size);
}

std::set<std::string_view> types_in(DiskView& container) {
  std::set<std::string_view> types;
  // In one piece, for all signatures near the beginning.
  const std::uint64_t start = std::min<std::uint64_t>(container.size(), 72 * io::KiB);
  DiskView near = container.part(io::ByteRange{0, start});
  (void)near.read(0, start);
  for (const Signature& signature : signatures) {
    DiskView& view = near.holds(signature.offset, signature.magic.size()) ? near : container;
    if (has_bytes(view, signature.offset, signature.magic)) types.insert(signature.type);
  }
  if (has_raid_at_end(container)) types.insert("linux_raid_member");
  if (has_firmware_raid(container)) types.insert("firmware_raid_member");
  if (has_drbd(container)) types.insert("drbd");
  if (has_zfs(container)) types.insert("zfs_member");
  if (ends_with(container, 64, "AVBf")) types.insert(verified_boot);
  return types;
}

// One word for each kind of reason.
struct Reason {
  std::string_view because;
  std::string_view remedy;
};

Reason reason_for(std::string_view type) {
  const auto is = [&](std::initializer_list<std::string_view> types) {
    return std::find(types.begin(), types.end(), type) != types.end();
  };
  if (is({"crypto_LUKS", "BitLocker", "cs_fvault2"})) {
    return {"is encrypted", "unlock it and take the image from the unlocked device"};
  }
  if (is({"linux_raid_member", "firmware_raid_member"})) {
    return {"is a member of a RAID", "assemble the RAID and take the image from there"};
  }
  if (is({verity, verified_boot})) {
    return {"its blocks are covered by hashes, the free ones too", ""};
  }
  return {"imgtool cannot look into it", ""};
}

}  // namespace

std::optional<FileSystem> probe_opaque(DiskView& container) {
  const auto types = types_in(container);
  if (types.empty()) return std::nullopt;
  std::string type;
  for (const std::string_view name : types) {
    type += type.empty() ? "" : " and ";
    type += name;
  }
  const Reason reason = reason_for(*types.begin());
  return keep_whole(std::move(type), container.size(), std::string(reason.because),
                    std::string(reason.remedy));
}

bool hashes_others(std::string_view type) {
  return type.find(verity) != std::string_view::npos ||
         type.find(verified_boot) != std::string_view::npos;
}

}  // namespace formats::filesystems
