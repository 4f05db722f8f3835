#include "formats/images/block_formats.hpp"

#include <algorithm>
#include <array>

#include "formats/images/dmg/map.hpp"
#include "formats/images/parallels/parallels.hpp"
#include "formats/images/qcow1/qcow1.hpp"
#include "formats/images/qed/qed.hpp"
#include "formats/images/vdi/map.hpp"
#include "formats/images/vhd/map.hpp"
#include "formats/images/vhdx/map.hpp"
#include "formats/images/vmdk/header.hpp"
#include "formats/images/vmdk/map.hpp"

namespace formats {
namespace {

std::optional<ParentReference> no_parent(const io::File& /*file*/) { return std::nullopt; }
std::string no_identity(const io::File& /*file*/) { return {}; }

struct BlockFormat {
  Format format;
  BlockFacts (*read_facts)(const io::File& file);
  std::unique_ptr<BlockMap> (*open_map)(const io::File& file);
  void (*check)(const io::File& file, BlockCheck& check);
  std::optional<ParentReference> (*parent_of)(const io::File& file) = no_parent;
  std::string (*identity_of)(const io::File& file) = no_identity;
};

constexpr auto block_formats = std::to_array<BlockFormat>({
    {Format::vdi, vdi::read_facts, vdi::open_map, vdi::check},
    {Format::vpc, vhd::read_facts, vhd::open_map, vhd::check, vhd::parent_of, vhd::identity_of},
    {Format::vhdx, vhdx::read_facts, vhdx::open_map, vhdx::check, vhdx::parent_of,
     vhdx::identity_of},
    {Format::qed, qed::read_facts, qed::open_map, qed::check, qed::parent_of},
    {Format::qcow, qcow1::read_facts, qcow1::open_map, qcow1::check, qcow1::parent_of},
    {Format::parallels, parallels::read_facts, parallels::open_map, parallels::check},
    {Format::vmdk, vmdk::read_facts, vmdk::open_map, vmdk::check, vmdk::parent_of,
     vmdk::identity_of},
    {Format::dmg, dmg::read_facts, dmg::open_map, dmg::check},
});

const BlockFormat* find(Format format) {
  const auto* const found =
      std::find_if(block_formats.begin(), block_formats.end(),
                   [format](const BlockFormat& entry) { return entry.format == format; });
  return found == block_formats.end() ? nullptr : found;
}

}  // namespace

bool is_block_format(Format format) { return find(format) != nullptr; }

BlockFacts read_block_facts(const io::File& file, Format format) {
  return find(format)->read_facts(file);
}

void check_block_image(const io::File& file, Format format, BlockCheck& check) {
  find(format)->check(file, check);
}

std::unique_ptr<BlockMap> open_block_map(const io::File& file, Format format) {
  return find(format)->open_map(file);
}

std::optional<ParentReference> parent_of(const io::File& file, Format format) {
  return find(format)->parent_of(file);
}

std::string identity_of(const io::File& file, Format format) {
  return find(format)->identity_of(file);
}

}  // namespace formats
