#include "formats/images/vmdk/size_estimate.hpp"

namespace formats::vmdk {

std::uint64_t grain_bytes_in_file(std::uint64_t stream_bytes) {
  constexpr std::uint64_t zlib_frame = 6;    // two bytes in front, a checksum behind
  constexpr std::uint64_t block_heads = 15;  // of what is stored as it is, at most
  constexpr std::uint64_t marker = 12;
  return io::align_up(marker + zlib_frame + block_heads + stream_bytes, sector);
}

std::uint64_t stream_bytes(std::uint64_t size, std::uint64_t content, std::uint64_t tables) {
  constexpr std::uint64_t table = sector + StreamTarget::table_entries * sizeof(std::uint32_t);
  constexpr std::uint64_t markers = 3 * sector;  // of the directory, the footer and the end
  const std::uint64_t all_tables =
      io::align_up(size, StreamTarget::table_covers) / StreamTarget::table_covers;
  return StreamTarget::front_sectors * sector + content + tables * table +
         io::align_up(all_tables * sizeof(std::uint32_t), sector) + markers + header_bytes;
}

}  // namespace formats::vmdk
