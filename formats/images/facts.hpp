// What an image says about itself, read from its headers alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/images/block_facts.hpp"
#include "formats/images/container_facts.hpp"
#include "formats/images/format.hpp"
#include "formats/images/qcow2/bitmaps.hpp"
#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/luks.hpp"
#include "formats/images/qcow2/snapshots.hpp"

namespace formats {

struct Qcow2Facts {
  qcow2::Header header;
  std::vector<qcow2::Snapshot> snapshots;
  std::vector<qcow2::Bitmap> bitmaps;  // empty when the image says that they are out of date
  std::optional<qcow2::LuksHeader> luks;
};

struct ImageFacts {
  std::string path;
  Format format = Format::raw;
  std::optional<std::uint64_t> virtual_size;  // unknown where only decoding tells
  std::uint64_t allocated_size = 0;           // what the file takes on its disk
  std::optional<Qcow2Facts> qcow2;            // filled when that is the format
  std::optional<BlockFacts> blocks;           // filled for the formats of block_formats.hpp
  std::optional<ContainerFacts> container;    // filled for archives and streams
};

// Those of the image and, with `follow_backing`, of its backing files, in order. Nothing else that
// an image names is opened. Without `format` the image's content decides. `member`: as
// OpenOptions::member. Throws Error.
std::vector<ImageFacts> read_facts(const std::string& path, std::optional<Format> format,
                                   bool follow_backing, const std::string& member = {});

// What the file takes on its disk, in bytes.
[[nodiscard]] std::uint64_t allocated_size_of(const io::File& file);

}  // namespace formats
