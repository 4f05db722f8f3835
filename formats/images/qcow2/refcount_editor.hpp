// Changes the refcounts of an image that exists. Nothing is written until it is told to be.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "formats/images/qcow2/header.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

class RefcountEditor {
 public:
  // Both outlive it. Throws Error.
  RefcountEditor(const io::File& file, const Header& header);

  [[nodiscard]] std::uint64_t at(std::uint64_t cluster);
  void set(std::uint64_t cluster, std::uint64_t count);  // covered(cluster) is true
  // One use less. Throws Error where there is none.
  void release(std::uint64_t cluster);

  [[nodiscard]] bool covered(std::uint64_t cluster) const { return block_at(cluster) != 0; }
  [[nodiscard]] bool in_table(std::uint64_t cluster) const {
    return cluster / per_block_ < table_.size();
  }
  [[nodiscard]] std::uint64_t clusters_per_block() const { return per_block_; }
  // An empty block at `offset` for `cluster`, which is in the table and not covered.
  void add_block(std::uint64_t cluster, HostOffset offset);

  // Takes `clusters` behind `end`, which is the end of the file or of what is in use, and, in front
  // of them, what refcount blocks they need: where they begin. Throws ErrorKind::unsupported where
  // the refcount table has no room.
  [[nodiscard]] HostOffset append(std::uint64_t end, std::uint64_t clusters);

  void write_blocks();
  void write_table();

 private:
  struct Block {
    std::vector<std::byte> bytes;
    bool changed = false;
  };

  [[nodiscard]] std::uint64_t blocks_needed(std::uint64_t first, std::uint64_t clusters) const;
  [[nodiscard]] std::uint64_t block_at(std::uint64_t cluster) const;
  Block& load(std::uint64_t index);

  const io::File& file_;
  const Header& header_;
  std::uint64_t per_block_;
  std::vector<std::uint64_t> table_;  // words, checked
  std::map<std::uint64_t, Block> blocks_;
};

}  // namespace formats::qcow2
