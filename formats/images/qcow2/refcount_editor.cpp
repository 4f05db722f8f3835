#include "formats/images/qcow2/refcount_editor.hpp"

#include <set>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/refcount_builder.hpp"
#include "formats/images/qcow2/refcounts.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {

RefcountEditor::RefcountEditor(const io::File& file, const Header& header)
    : file_(file),
      header_(header),
      per_block_(header.geometry.cluster_size() * 8 / header.refcount_bits) {
  std::vector<std::byte> bytes(header.refcount_table_clusters * header.geometry.cluster_size());
  if (file.read_at(header.refcount_table_offset.value, bytes) != bytes.size()) {
    throw io::Error::format(file.path(), header.refcount_table_offset.value,
                            "the file ends inside the refcount table");
  }
  const std::uint64_t file_size = file.size();
  table_.resize(bytes.size() / 8);
  for (std::size_t index = 0; index < table_.size(); ++index) {
    const auto offset = load_big_endian<std::uint64_t>(bytes, index * 8);
    const std::uint64_t cluster_size = header.geometry.cluster_size();
    if (offset % cluster_size != 0 || offset > file_size || cluster_size > file_size - offset) {
      throw io::Error::format(file.path(), header.refcount_table_offset.value + index * 8,
                              fmt::format("names a refcount block at {}, which is not a cluster "
                                          "of the file",
                                          offset));
    }
    table_[index] = offset;
  }
}

std::uint64_t RefcountEditor::block_at(std::uint64_t cluster) const {
  const std::uint64_t index = cluster / per_block_;
  return index < table_.size() ? table_[index] : 0;
}

RefcountEditor::Block& RefcountEditor::load(std::uint64_t index) {
  const auto found = blocks_.find(index);
  if (found != blocks_.end()) return found->second;
  Block block;
  block.bytes.resize(header_.geometry.cluster_size());
  if (file_.read_at(table_[index], block.bytes) != block.bytes.size()) {
    throw io::Error::format(file_.path(), table_[index], "the file ends inside a refcount block");
  }
  return blocks_.emplace(index, std::move(block)).first->second;
}

std::uint64_t RefcountEditor::at(std::uint64_t cluster) {
  if (!covered(cluster)) return 0;
  return refcount_in(load(cluster / per_block_).bytes, cluster % per_block_, header_.refcount_bits);
}

void RefcountEditor::set(std::uint64_t cluster, std::uint64_t count) {
  Block& block = load(cluster / per_block_);
  put_refcount(block.bytes, cluster % per_block_, header_.refcount_bits, count);
  block.changed = true;
}

void RefcountEditor::release(std::uint64_t cluster) {
  const std::uint64_t count = at(cluster);
  if (count == 0) {
    throw io::Error::format(file_.path(), cluster * header_.geometry.cluster_size(),
                            "is in use, but its refcount is 0; repair the image first");
  }
  set(cluster, count - 1);
}

void RefcountEditor::add_block(std::uint64_t cluster, HostOffset offset) {
  const std::uint64_t index = cluster / per_block_;
  table_[index] = offset.value;
  Block& block = blocks_[index];
  block.bytes.assign(header_.geometry.cluster_size(), std::byte{0});
  block.changed = true;
}

HostOffset RefcountEditor::append(std::uint64_t end_of_file, std::uint64_t clusters) {
  const std::uint64_t cluster_size = header_.geometry.cluster_size();
  const std::uint64_t begin = io::align_up(end_of_file, cluster_size) / cluster_size;
  const std::uint64_t first = begin + blocks_needed(begin, clusters);
  const std::uint64_t end = first + clusters;
  if (!in_table(end)) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    "has no room in its refcount table; convert it, which makes a new one");
  }
  std::uint64_t block = begin;
  for (std::uint64_t cluster = begin; cluster < end; ++cluster) {
    if (!covered(cluster)) add_block(cluster, {block++ * cluster_size});
  }
  for (std::uint64_t cluster = begin; cluster < end; ++cluster) set(cluster, 1);
  return {first * cluster_size};
}

// New blocks have to be counted, too.
std::uint64_t RefcountEditor::blocks_needed(std::uint64_t first, std::uint64_t clusters) const {
  std::uint64_t blocks = 0;
  while (true) {
    std::set<std::uint64_t> missing;
    for (std::uint64_t cluster = first; cluster < first + blocks + clusters; ++cluster) {
      if (!covered(cluster)) missing.insert(cluster / per_block_);
    }
    if (missing.size() == blocks) return blocks;
    blocks = missing.size();
  }
}

void RefcountEditor::write_blocks() {
  for (auto& [index, block] : blocks_) {
    if (block.changed) file_.write_at(table_[index], block.bytes);
    block.changed = false;
  }
}

void RefcountEditor::write_table() {
  std::vector<std::byte> bytes(table_.size() * 8);
  for (std::size_t index = 0; index < table_.size(); ++index) {
    store_big_endian<std::uint64_t>(bytes, index * 8, table_[index]);
  }
  file_.write_at(header_.refcount_table_offset.value, bytes);
}

}  // namespace formats::qcow2
