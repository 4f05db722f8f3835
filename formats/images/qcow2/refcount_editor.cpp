#include "formats/images/qcow2/refcount_editor.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/header_switch.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t most_block_bytes = 64 * io::MiB;
constexpr std::uint64_t least_blocks = 4;

std::uint64_t largest_refcount(std::uint32_t bits) {
  return bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
}

}  // namespace

RefcountEditor::RefcountEditor(const io::File& file, const Header& header)
    : file_(file),
      begin_(header),
      begin_tables_(file),
      begin_counts_(begin_tables_, begin_),
      cluster_size_(header.geometry.cluster_size()),
      per_block_(begin_counts_.clusters_per_block()),
      table_place_(header.refcount_table_offset.value),
      table_clusters_(header.refcount_table_clusters),
      table_(begin_counts_.table()),
      moved_(table_.size()) {
  const std::uint64_t file_bytes = begin_tables_.file_size();
  for (std::size_t index = 0; index < table_.size(); ++index) {
    const std::uint64_t offset = table_[index];
    if (offset % cluster_size_ == 0 && offset <= file_bytes &&
        cluster_size_ <= file_bytes - offset) {
      continue;
    }
    throw io::Error::format(
        file.path(), table_place_ + index * 8,
        fmt::format("names a refcount block at {}, which is not a cluster of the file", offset));
  }
}

RefcountEditor::~RefcountEditor() {
  if (!cut_to_) return;
  try {
    const io::FileStatus now = file_.status();
    if (now.kind == io::FileKind::regular && now.size > *cut_to_) file_.truncate(*cut_to_);
  } catch (const io::Error&) {
    // It is longer than it need be, and whole.
  }
}

// --- counts ---

std::uint64_t RefcountEditor::at(std::uint64_t cluster) {
  const std::uint64_t index = cluster / per_block_;
  if (index >= table_.size() || table_[index] == 0) return 0;
  return refcount_in(load(index).bytes, cluster % per_block_, begin_.refcount_bits);
}

void RefcountEditor::take(std::uint64_t cluster) {
  const std::uint64_t count = at(cluster);
  if (count >= largest_refcount(begin_.refcount_bits)) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    fmt::format("has refcounts of {} bits, which cannot count one more use of the "
                                "cluster at {}; convert it to an image with wider ones (-o "
                                "refcount_bits=16)",
                                begin_.refcount_bits, cluster * cluster_size_));
  }
  set(cluster, count + 1);
}

void RefcountEditor::release(std::uint64_t cluster) {
  const std::uint64_t count = at(cluster);
  if (count == 0) {
    throw io::Error::format(file_.path(), cluster * cluster_size_,
                            "is in use, but its refcount is 0; repair the image first (imgtool "
                            "check --repair all)");
  }
  set(cluster, count - 1);
}

void RefcountEditor::release(HostOffset table, std::uint64_t bytes) {
  const std::uint64_t end = io::align_up(table.value + bytes, cluster_size_) / cluster_size_;
  for (std::uint64_t cluster = table.value / cluster_size_; cluster < end; ++cluster) {
    release(cluster);
  }
}

// A change can need others: the first one in a block gives that a new place, which is counted,
// maybe in another block.
void RefcountEditor::set(std::uint64_t cluster, std::uint64_t count) {
  changes_.push_back({cluster, count});
  if (making_changes_) return;
  making_changes_ = true;
  while (!changes_.empty()) {
    const Change change = changes_.back();
    changes_.pop_back();
    apply(change);
  }
  making_changes_ = false;
}

void RefcountEditor::apply(const Change& change) {
  const std::uint64_t index = change.cluster / per_block_;
  if (index >= largest_refcount_table_bytes / 8) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    "has no room in its refcount table; convert it to an image with larger "
                    "clusters");
  }
  if (index >= table_.size()) {
    table_.resize(index + 1);
    moved_.resize(index + 1);
  }
  set_refcount_in(writable(index).bytes, change.cluster % per_block_, begin_.refcount_bits,
                  change.count);
}

RefcountEditor::Block& RefcountEditor::load(std::uint64_t index) {
  const auto found = blocks_.find(index);
  if (found != blocks_.end()) return found->second;
  if (blocks_.size() >= std::max(least_blocks, most_block_bytes / cluster_size_)) {
    write_blocks();
    blocks_.clear();
  }
  Block block;
  block.bytes.resize(cluster_size_);
  if (table_[index] != 0 && file_.read_at(table_[index], block.bytes) != block.bytes.size()) {
    throw io::Error::format(file_.path(), table_[index], "the file ends inside a refcount block");
  }
  return blocks_.emplace(index, std::move(block)).first->second;
}

RefcountEditor::Block& RefcountEditor::writable(std::uint64_t index) {
  Block& block = load(index);
  block.changed = true;
  if (moved_[index]) return block;
  changed_ = true;
  moved_[index] = true;
  if (table_[index] != 0) changes_.push_back({table_[index] / cluster_size_, 0});
  const std::uint64_t place = next_free(1);
  changes_.push_back({place, 1});
  table_[index] = place * cluster_size_;
  return block;
}

// --- places ---

// Not what became free since: a reader may still look there, and so would one after a crash.
bool RefcountEditor::was_free(std::uint64_t cluster) { return begin_counts_.of(cluster) == 0; }

std::uint64_t RefcountEditor::next_free(std::uint64_t clusters) {
  if (!cut_to_) cut_to_ = file_.size();
  std::uint64_t first = cursor_;
  for (std::uint64_t end = first; end < first + clusters; ++end) {
    if (!was_free(end)) first = end + 1;
  }
  cursor_ = first + clusters;
  return first;
}

HostOffset RefcountEditor::allocate(std::uint64_t clusters) {
  const std::uint64_t first = next_free(clusters);
  for (std::uint64_t cluster = first; cluster < first + clusters; ++cluster) set(cluster, 1);
  return {first * cluster_size_};
}

HostOffset RefcountEditor::place(std::vector<std::byte> table) {
  if (table.empty()) return {};
  table.resize(io::align_up(table.size(), cluster_size_));
  const HostOffset offset = allocate(table.size() / cluster_size_);
  file_.write_at(offset.value, table);
  return offset;
}

HostOffset RefcountEditor::moved_forward(HostOffset table, std::uint64_t bytes) {
  const std::uint64_t before = cursor_;
  const std::uint64_t clusters = io::align_up(bytes, cluster_size_) / cluster_size_;
  if (clusters == 0) return table;
  if (next_free(clusters) * cluster_size_ >= table.value) {
    cursor_ = before;
    return table;
  }
  cursor_ = before;
  std::vector<std::byte> content(bytes);
  file_.read_at(table.value, content);
  release(table, bytes);
  return place(std::move(content));
}

void RefcountEditor::move_forward() {
  for (std::uint64_t index = 0; index < table_.size(); ++index) {
    if (table_[index] == 0 || moved_[index]) continue;
    while (!was_free(cursor_)) ++cursor_;
    if (table_[index] / cluster_size_ < cursor_) continue;
    // As a change of its first count to what it is.
    const std::uint64_t first = index * per_block_;
    set(first, at(first));
  }
  changed_ = changed_ || table_place_ / cluster_size_ > cursor_;
}

// --- taking it into use ---

void RefcountEditor::write_blocks() {
  for (auto& [index, block] : blocks_) {
    if (block.changed) file_.write_at(table_[index], block.bytes);
    block.changed = false;
  }
}

// The table is counted by the blocks that it names, so it may become longer while it gets a place.
void RefcountEditor::write_table(Header& next) {
  if (changed_) {
    for (std::uint64_t i = 0; i < table_clusters_; ++i) {
      set(table_place_ / cluster_size_ + i, 0);
    }
    HostOffset place;
    std::uint64_t clusters = 0;
    const auto needed = [&] { return io::align_up(table_.size() * 8, cluster_size_); };
    while (clusters * cluster_size_ < needed()) {
      for (std::uint64_t i = 0; i < clusters; ++i) set(place.value / cluster_size_ + i, 0);
      clusters = needed() / cluster_size_;
      place = allocate(clusters);
    }
    std::vector<std::byte> bytes(needed());
    for (std::size_t index = 0; index < table_.size(); ++index) {
      store_big_endian<std::uint64_t>(bytes, index * 8, table_[index]);
    }
    file_.write_at(place.value, bytes);
    table_place_ = place.value;
    table_clusters_ = clusters;
  }
  write_blocks();
  next.refcount_table_offset = {table_place_};
  next.refcount_table_clusters = static_cast<std::uint32_t>(table_clusters_);
}

void RefcountEditor::take_into_use(Header& next) {
  write_table(next);
  file_.sync();
  // An error may come when the header is written already.
  const auto cut_to = std::exchange(cut_to_, std::nullopt);
  try {
    write_header(file_, next);
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::unsupported) cut_to_ = cut_to;  // and it is not
    throw;
  }
  moved_.assign(table_.size(), false);
  changed_ = false;
}

}  // namespace formats::qcow2
