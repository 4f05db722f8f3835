// qcow images of version 1 (qemu's "qcow"): a directory of tables, clusters, and deflate streams.
//
// Source: QEMU block/qcow.c, which is all there is. All numbers are big-endian.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "formats/images/block_check.hpp"
#include "formats/images/block_facts.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/parent.hpp"
#include "formats/images/table_map.hpp"
#include "io/file.hpp"

namespace formats::qcow1 {

struct Header {
  std::uint64_t virtual_size = 0;  // below 2^62
  unsigned cluster_bits = 0;       // 9 to 16
  unsigned table_bits = 0;         // of the number of words in a table, 6 to 13
  bool encrypted = false;
  std::uint64_t directory_at = 0;
  std::string backing_file;  // empty: none

  [[nodiscard]] std::uint64_t cluster_size() const { return std::uint64_t{1} << cluster_bits; }
};

[[nodiscard]] bool has_magic(std::span<const std::byte> start);
// Throws Error.
[[nodiscard]] Header read_header(const io::File& file);
[[nodiscard]] BlockFacts read_facts(const io::File& file);

class Qcow1Map final : public TableMap {
 public:
  Qcow1Map(const io::File& file, const Header& header, BlockCheck* check = nullptr);

 private:
  [[nodiscard]] StoredBlock parse_word(std::uint64_t word) const override;

  unsigned cluster_bits_;
};

// Throws Error where the header is damaged. A backing file is not looked at.
void check(const io::File& file, BlockCheck& check);

// What is absent is the backing file's, if there is one. Throws ErrorKind::unsupported for an
// encrypted image.
[[nodiscard]] std::unique_ptr<BlockMap> open_map(const io::File& file);

[[nodiscard]] std::optional<ParentReference> parent_of(const io::File& file);

}  // namespace formats::qcow1
