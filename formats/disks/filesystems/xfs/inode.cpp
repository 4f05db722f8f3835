#include "formats/disks/filesystems/xfs/inode.hpp"

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/inode_fields.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint16_t flag_realtime = 0x1;
constexpr std::uint64_t flag_large_counts = 0x10;  // XFS_DIFLAG2_NREXT64

class Parser {
 public:
  Parser(Bytes bytes, std::uint64_t number, const Geometry& geometry)
      : bytes_(bytes), number_(number), geometry_(geometry) {}

  Inode run() const {
    check(u16(bytes_, di_magic) == inode_magic, "it has no inode's magic number");
    const unsigned version = u8(bytes_, di_version);
    check(geometry_.is_v5 ? version == 3 : version == 1 || version == 2, "version");
    if (geometry_.is_v5) check_identity();
    check((u16(bytes_, di_flags) & flag_realtime) == 0, "it is on a realtime device");

    const bool has_large_counts = version == 3 && (u64(bytes_, di_flags2) & flag_large_counts) != 0;
    const Bytes forks = bytes_.subspan(version == 3 ? inode_core_v3 : inode_core_v2);
    const std::size_t boundary = std::size_t{8} * u8(bytes_, di_forkoff);
    check(boundary < forks.size(), "place of the attributes");
    Inode inode{.number = number_, .data = {}, .attributes = std::nullopt};
    inode.data = fork(u8(bytes_, di_format), boundary == 0 ? forks : forks.first(boundary),
                      has_large_counts ? u64(bytes_, di_big_nextents) : u32(bytes_, di_nextents));
    if (boundary != 0) {
      inode.attributes =
          fork(u8(bytes_, di_aformat), forks.subspan(boundary),
               has_large_counts ? u32(bytes_, di_nextents) : u16(bytes_, di_anextents));
    }
    return inode;
  }

 private:
  void check(bool holds, std::string_view what) const {
    if (holds) return;
    throw Doubt(Reason::damaged, fmt::format("its inode {} is damaged: {}", number_, what),
                std::string(repair));
  }

  void check_identity() const {
    check(has_right_checksum(bytes_, inode_checksum), "wrong checksum");
    check(u64(bytes_, di_ino) == number_, "an inode of another place");
    check(equals(bytes_.subspan(di_uuid, 16), geometry_.metadata_uuid), "another uuid");
  }

  [[nodiscard]] Fork fork(unsigned format, Bytes bytes, std::uint64_t extents) const {
    check(format <= static_cast<unsigned>(ForkFormat::btree), "kind of a map");
    const Fork fork{static_cast<ForkFormat>(format), bytes, extents};
    check(fork.format != ForkFormat::extents || extents <= bytes.size() / 16, "number of extents");
    return fork;
  }

  Bytes bytes_;
  std::uint64_t number_;
  const Geometry& geometry_;
};

}  // namespace

bool is_in_use(Bytes bytes) {
  return u16(bytes, di_magic) == inode_magic && u16(bytes, di_mode) != 0;
}

Inode parse_inode(Bytes bytes, std::uint64_t number, const Geometry& geometry) {
  return Parser(bytes, number, geometry).run();
}

}  // namespace formats::filesystems::xfs
