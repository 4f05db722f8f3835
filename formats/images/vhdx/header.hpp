// The headers, the regions and the metadata of a VHDX image, read and checked.
//
// Source: Microsoft [MS-VHDX]. All numbers are little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/images/block_facts.hpp"
#include "formats/images/parent.hpp"
#include "formats/images/table_pages.hpp"
#include "formats/images/vhdx/log.hpp"
#include "io/byte_range.hpp"
#include "io/file.hpp"

namespace formats::vhdx {

// Everything that is stored takes whole ones of these.
inline constexpr std::uint64_t unit = io::MiB;

// The header in force.
struct Header {
  std::uint64_t sequence = 0;
  Guid log_guid{};         // all zeros: the log is empty
  io::ByteRange log;       // whole units inside the file
  Guid data_write_guid{};  // another one since its content was changed
  [[nodiscard]] bool log_is_empty() const { return log_guid == Guid{}; }
};

struct Regions {
  io::ByteRange table;  // the block allocation table
  io::ByteRange metadata;
};

struct Metadata {
  std::uint64_t virtual_size = 0;     // whole logical sectors, at most 64 TiB
  std::uint32_t block_size = 0;       // a power of two, 1 to 256 MiB
  std::uint32_t logical_sector = 0;   // 512 or 4096
  std::uint32_t physical_sector = 0;  // likewise
  bool fixed = false;
  bool has_parent = false;
  std::string parent;  // the path that it names; may be empty
  // What "{data_write_guid}" of the parent may be, in small letters; Hyper-V writes a second one
  // while it changes the parent.
  std::vector<std::string> parent_ids;

  // Blocks to each of which one bitmap of sectors belongs, and so many entries before each entry of
  // a bitmap in the table.
  [[nodiscard]] std::uint64_t chunk_ratio() const {
    return (std::uint64_t{1} << 23) * logical_sector / block_size;
  }
  // Of the table; with a parent, of whole chunks.
  [[nodiscard]] std::uint64_t entries() const;
};

[[nodiscard]] bool has_magic(std::span<const std::byte> start);

// Throws Error.
[[nodiscard]] Header read_header(const io::File& file);
// The file as the log leaves it; `patches` outlives what is returned.
[[nodiscard]] TablePages patched_pages(const io::File& file, const Patches& patches);
[[nodiscard]] Regions read_regions(const TablePages& pages);
[[nodiscard]] Metadata read_metadata(const TablePages& pages, io::ByteRange region);

// Who made it says the file type identifier; qemu's name decides about a rule of DynamicMap.
[[nodiscard]] std::string read_creator(const io::File& file);

[[nodiscard]] BlockFacts read_facts(const io::File& file);

// Of a differencing image. Throws Error, as identity_of() does, which gives the image's own GUID.
[[nodiscard]] std::optional<ParentReference> parent_of(const io::File& file);
[[nodiscard]] std::string identity_of(const io::File& file);

}  // namespace formats::vhdx
