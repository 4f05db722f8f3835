// The formats of disk images, and their names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace formats {

enum class Format : std::uint8_t {
  raw,
  qcow2,
  gz,
  xz,
  bz2,
  zst,
  simg,
  vdi,
  vpc,  // VHD
  vhdx,
  qed,
  qcow,  // version 1
  parallels,
  vmdk,
  lz4,
  lzma,  // the old format; .xz is xz
  zip,
  tar,
  dmg,
};

// Read once, front to back: a compressed stream that has no index of its content. (A zst file
// may have one.)
[[nodiscard]] bool is_stream(Format format);

// Whether the disk has whole sectors of 512 bytes, as in qcow2 and all images of other programs.
[[nodiscard]] bool counts_sectors(Format format);
// Holds files, one of which is the image.
[[nodiscard]] bool is_archive(Format format);

// "raw", "qcow2", "gz" ...; what -f takes and what images call each other.
[[nodiscard]] std::string_view name_of(Format format);
[[nodiscard]] std::optional<Format> format_named(std::string_view name);
// All of them, in the order of the enumeration.
[[nodiscard]] std::vector<std::string> format_names();

}  // namespace formats
