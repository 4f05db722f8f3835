// The first cluster of a qcow2 image: header, extensions, name of the backing file.
//
// parse_header() checks each field once, against the format's rules, qemu's limits and the
// file's length, so a Header can be trusted: every table it names is aligned, not
// larger than qemu allows and inside the file. What the tables hold is not checked here. One
// cluster is read, at most 2 MiB, and less than twice that is taken; time is linear in it.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "formats/images/qcow2/offsets.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

// qemu's limits.
inline constexpr std::uint64_t largest_l1_bytes = 32 * io::MiB;
inline constexpr std::uint64_t largest_refcount_table_bytes = 8 * io::MiB;
inline constexpr std::uint64_t most_snapshots = 65536;
inline constexpr std::uint64_t most_bitmaps = 65535;
inline constexpr std::uint64_t longest_backing_name = 1023;
// Ours: the names of all snapshots, and those of all bitmaps. A hole could hold any number.
inline constexpr std::uint64_t most_names_bytes = 4 * io::MiB;

enum class Encryption : std::uint8_t { none, aes, luks };
enum class Compression : std::uint8_t { deflate, zstd };

// Where the bitmaps are listed.
struct BitmapDirectory {
  HostOffset offset;
  std::uint64_t bytes = 0;
  std::uint32_t count = 0;
};

struct Header {
  std::uint32_t version = 3;
  Geometry geometry;
  std::uint64_t virtual_size = 0;  // whole sectors of 512 bytes, as qemu counts
  Encryption encryption = Encryption::none;
  Compression compression = Compression::deflate;
  std::uint32_t refcount_bits = 16;  // 1, 2, 4 ... 64
  std::uint32_t header_bytes = 72;

  HostOffset l1_offset;
  std::uint32_t l1_entries = 0;
  HostOffset refcount_table_offset;
  std::uint32_t refcount_table_clusters = 0;  // 0: only readers and `check` may go on
  bool refcount_table_lost = false;           // it lies past the end of the file
  HostOffset snapshots_offset;
  std::uint32_t snapshot_count = 0;

  bool dirty = false;              // refcounts are stale; the content is not
  bool corrupt = false;            // a checker found damage: read only
  bool external_data = false;      // guest clusters live in `data_file`
  bool raw_external_data = false;  // ... which is a raw image by itself
  bool lazy_refcounts = false;
  bool bitmaps_consistent = false;  // false: `bitmaps` may be out of date

  // Names are untrusted bytes: they are opened only by the rules of
  // formats/images/reference.hpp, and printed only escaped.
  std::string backing_file;
  std::string backing_format;
  std::string data_file;

  std::optional<BitmapDirectory> bitmaps;
  std::optional<io::ByteRange> encryption_header;  // of the image file
};

[[nodiscard]] bool has_magic(std::span<const std::byte> start_of_file);

// `start` is the first cluster of the file, or more, or all of a shorter file. Throws Error of
// `path`.
Header parse_header(std::span<const std::byte> start, std::uint64_t file_size,
                    const std::string& path);

Header read_header(const io::File& file);

}  // namespace formats::qcow2
