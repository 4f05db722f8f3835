// What an appliance (OVA: a tar archive) says about itself: its descriptor (.ovf) names the disks,
// its manifest (.mf) has digests of the files.
//
// The descriptor is looked through for a few elements and their attributes. It is not understood as
// XML: entities but the five that XML itself has stand for nothing, and nothing is loaded.
//
// Source: DMTF DSP0243, Open Virtualization Format 2.1, sections 6 and 9.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/digest.hpp"

namespace formats::ova {

// Larger ones are not looked at.
inline constexpr std::uint64_t most_text_bytes = 4 << 20;

struct Disk {
  std::string id;
  std::string file;                       // the name in the archive; empty: a disk without content
  std::optional<std::uint64_t> capacity;  // bytes, as the descriptor has it; the image counts
  std::string format;
};

// By their names.
[[nodiscard]] bool is_descriptor(std::string_view name);
[[nodiscard]] bool is_manifest(std::string_view name);

// Disks of a descriptor, in its order; at most 256.
[[nodiscard]] std::vector<Disk> parse_descriptor(std::string_view text);

// Those that have content.
[[nodiscard]] std::vector<Disk> stored_disks(std::vector<Disk> disks);

// Throws ErrorKind::refused: the user has to choose. `path` is the appliance's.
[[noreturn]] void refuse_several(const std::string& path, const std::vector<Disk>& disks);

struct FileDigest {
  std::string file;
  io::DigestAlgorithm algorithm = io::DigestAlgorithm::sha256;
  std::string hex;  // lower case
};

// The lines of a manifest that are SHA1, SHA256 or SHA512.
[[nodiscard]] std::vector<FileDigest> parse_manifest(std::string_view text);

}  // namespace formats::ova
