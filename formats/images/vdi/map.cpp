#include "formats/images/vdi/map.hpp"

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/block_owners.hpp"
#include "formats/images/vdi/fields.hpp"
#include "io/error.hpp"

namespace formats::vdi {
namespace {

constexpr std::uint32_t no_block = 0xffffffff;
constexpr std::uint32_t zero_block = 0xfffffffe;

}  // namespace

VdiMap::VdiMap(const io::File& file, const Header& header, BlockCheck* check)
    : EntryMap(header.virtual_size, header.block_size), pages_(file), header_(header) {
  check_blocks(check);
}

std::uint32_t VdiMap::entry(std::uint64_t index) {
  return load_little_endian<std::uint32_t>(pages_.cached(header_.map_offset + index * 4, 4), 0);
}

std::uint64_t VdiMap::place_of(std::uint32_t entry) const {
  return header_.data_offset + entry * header_.stride() + header_.extra;
}

void VdiMap::check_blocks(BlockCheck* check) {
  BlockOwners owners(pages_.path(), pages_.file_size(), header_.stride(), check);
  owners.reserve({0, header_.data_offset}, "the header or the map");
  for (std::uint64_t index = 0; index < header_.blocks; ++index) {
    const std::uint32_t word = entry(index);
    if (word == no_block || word == zero_block) continue;
    owners.add(place_of(word), content_of(index), index, header_.map_offset + index * 4);
  }
  owners.check();
  if (check != nullptr) owners.count_leaks();
}

StoredBlock VdiMap::block_at(std::uint64_t index) {
  const std::uint32_t word = entry(index);
  if (word == no_block) return {BlockKind::absent};
  if (word == zero_block) return {BlockKind::zero};
  return {BlockKind::plain, place_of(word)};
}

void check(const io::File& file, BlockCheck& check) {
  const Header header = read_header(file);
  check.result().total_blocks = VdiMap(file, header, &check).block_count();
  const BlockCheckResult& found = check.result();
  if (found.corruptions > 0 || found.allocated_blocks == header.used_blocks) return;
  check.corrupt(io::Error::format(file.path(), at::used_blocks,
                                  fmt::format("the header tells of {} blocks in use, the map of {}",
                                              header.used_blocks, found.allocated_blocks)));
}

std::unique_ptr<BlockMap> open_map(const io::File& file) {
  const Header header = read_header(file);
  if (header.has_parent) {
    throw io::Error::refusal(file.path(),
                             "is a differencing VDI image: what it does not hold is in its parent, "
                             "which imgtool does not read; merge them with VBoxManage clonemedium");
  }
  return std::make_unique<VdiMap>(file, header);
}

}  // namespace formats::vdi
