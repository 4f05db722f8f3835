#include "formats/disks/filesystems/opaque.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/opaque_kinds.hpp"

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
    {linux_raid, 0, "\xfc\x4e\x2b\xa9"sv},
    {linux_raid, 4096, "\xfc\x4e\x2b\xa9"sv},
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
    {"befs", 544, "BFS1"sv},
    {"befs", 544, "1SFB"sv},
    {"hpfs", 8192, "\x49\xe8\x95\xf9"sv},
    {"vxfs", 1024, "\xf5\xfc\x01\xa5"sv},
    {"vxfs", 8192, "\xa5\x01\xfc\xf5"sv},
    {"nss", 4096, "SPB5"sv},
    {"zonefs", 0, "SFOZ"sv},
    {"nilfs2", 1024, "\x02\x00\x00\x00\x00\x00\x34\x34"sv},
    {"ubi", 0, "UBI#"sv},
    {"ubifs", 0, "\x31\x18\x10\x06"sv},
});

bool has_ufs(DiskView& volume) {
  constexpr auto places = std::to_array<std::uint64_t>({0, 8192, 65536, 262144});
  constexpr auto magics = std::to_array<std::uint32_t>(
      {0x19540119, 0x00011954, 0x00195612, 0x00095014, 0x00612195, 0x05231994});
  constexpr std::uint64_t magic_at = 1372;
  return std::any_of(places.begin(), places.end(), [&](std::uint64_t place) {
    if (!volume.holds(place + magic_at, 4)) return false;
    const auto word = volume.read(place + magic_at, 4);
    return std::any_of(magics.begin(), magics.end(), [&](std::uint32_t magic) {
      return load_little_endian<std::uint32_t>(word, 0) == magic ||
             load_big_endian<std::uint32_t>(word, 0) == magic;
    });
  });
}

OpaqueTypes types_in(DiskView& volume) {
  OpaqueTypes types;
  // In one piece, for all signatures near the beginning.
  const std::uint64_t start = std::min<std::uint64_t>(volume.size(), 72 * io::KiB);
  DiskView near = volume.part(io::ByteRange{0, start});
  (void)near.read(0, start);
  for (const Signature& signature : signatures) {
    DiskView& view = near.holds(signature.offset, signature.magic.size()) ? near : volume;
    if (has_bytes(view, signature.offset, signature.magic)) types.insert(signature.type);
  }
  if (has_ufs(volume)) types.insert("ufs");
  find_foreign_tables(volume, types);
  find_members(volume, types);
  if (volume.size() >= 64 && has_bytes(volume, volume.size() - 64, "AVBf")) {
    types.insert(verified_boot);
  }
  return types;
}

// Why a type is kept, for programs and for people.
struct Explanation {
  Reason reason;
  std::string_view because;
  std::string_view remedy;
};

bool is_hash(std::string_view type) { return type == verity || type == verified_boot; }

Explanation explain(std::string_view type) {
  const auto is = [&](std::initializer_list<std::string_view> types) {
    return std::find(types.begin(), types.end(), type) != types.end();
  };
  if (is({"crypto_LUKS", "BitLocker", "cs_fvault2"})) {
    return {Reason::encrypted, "is encrypted",
            "unlock it and take the image from the unlocked device"};
  }
  if (is({linux_raid, "firmware_raid_member"})) {
    return {Reason::raid_member, "is a member of a RAID",
            "assemble the RAID and take the image from there"};
  }
  if (is_hash(type)) {
    return {Reason::hashed, "its blocks are covered by hashes, the free ones too", ""};
  }
  return {Reason::unsupported, "imgtool cannot look into it", ""};
}

}  // namespace

bool has_bytes(DiskView& volume, std::uint64_t offset, std::string_view magic) {
  if (!volume.holds(offset, magic.size())) return false;
  const auto found = volume.read(offset, magic.size());
  return std::equal(magic.begin(), magic.end(), found.begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

bool has_hashes_behind(DiskView& volume, std::uint64_t from) {
  constexpr std::uint64_t reach = 64 * io::MiB, step = 512;
  constexpr std::string_view android_metadata = "\x01\xb0\x01\xb0"sv;
  from = io::align_down(from, step);
  const std::uint64_t end = std::min(volume.size(), from + reach);
  while (from < end) {
    const io::Extent extent = volume.source().extent_at(volume.begin() + from);
    const std::uint64_t extent_end = std::min(extent.range.end() - volume.begin(), end);
    if (extent.reads_as_zero()) {
      from = io::align_up(extent_end, step);
      continue;
    }
    DiskView chunk = volume.part(io::range_between(from, std::min(end, from + io::MiB)));
    (void)chunk.read(0, chunk.size());
    for (std::uint64_t at = 0; at < chunk.size(); at += step) {
      if (has_bytes(chunk, at, "verity\0\0"sv) || has_bytes(chunk, at, android_metadata))
        return true;
    }
    from += io::MiB;
  }
  return false;
}

std::optional<FileSystem> probe_opaque(DiskView& volume, MapCheck /*check*/) {
  const auto types = types_in(volume);
  if (types.empty()) return std::nullopt;
  std::string type;
  for (const std::string_view name : types) {
    type += type.empty() ? "" : " and ";
    type += name;
  }
  const Explanation why = explain(*types.begin());
  FileSystem found = keep_whole(std::move(type), volume.size(), why.reason,
                                std::string(why.because), std::string(why.remedy));
  found.holds_hashes = std::any_of(types.begin(), types.end(), is_hash);
  return found;
}

}  // namespace formats::filesystems
