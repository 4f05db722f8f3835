// QED images: one header, a directory of tables, and clusters.
//
// Source: QEMU docs/interop/qed_spec.rst. All numbers are little-endian.
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

namespace formats::qed {

struct Header {
  std::uint64_t cluster_size = 0;  // a power of two, 4 KiB to 64 MiB
  std::uint64_t table_bytes = 0;   // of one table: 1 to 16 clusters, at most 64 MiB
  std::uint64_t header_bytes = 0;  // inside the file
  std::uint64_t directory_at = 0;  // a multiple of the cluster's size
  std::uint64_t virtual_size = 0;  // whole sectors; below 2^62
  bool needs_check = false;        // it was not closed: what was being added may be lost
  bool has_backing_file = false;
  bool backing_is_raw = false;  // and not to be looked at for another format
  std::string backing_file;
};

[[nodiscard]] bool has_magic(std::span<const std::byte> start);
// Throws Error.
[[nodiscard]] Header read_header(const io::File& file);
[[nodiscard]] BlockFacts read_facts(const io::File& file);

class QedMap final : public TableMap {
 public:
  QedMap(const io::File& file, const Header& header, BlockCheck* check = nullptr);

 private:
  [[nodiscard]] StoredBlock parse_word(std::uint64_t word) const override;
};

// Throws Error where the header is damaged. A backing file is not looked at.
void check(const io::File& file, BlockCheck& check);

// What is absent is the backing file's, if there is one.
[[nodiscard]] std::unique_ptr<BlockMap> open_map(const io::File& file);

[[nodiscard]] std::optional<ParentReference> parent_of(const io::File& file);

}  // namespace formats::qed
