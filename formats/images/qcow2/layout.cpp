#include "formats/images/qcow2/layout.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/entries.hpp"

namespace formats::qcow2 {
namespace {

// So many bytes of plain clusters are laid down together, but at least so many clusters.
constexpr std::uint64_t group_bytes = 2 * io::MiB;
constexpr std::uint64_t least_group_clusters = 8;

// O_DIRECT wants this; a cluster's content around its stored part may be written, too.
constexpr std::uint64_t write_grain = 4096;

std::uint64_t stream_word(std::uint64_t offset, std::uint64_t bytes, const Geometry& geometry) {
  const std::uint32_t offset_bits = 62 - (geometry.cluster_bits - 8);
  assert(offset >> offset_bits == 0);
  const std::uint64_t more_sectors = ((offset & 511) + bytes - 1) / 512;
  return compressed_flag | more_sectors << offset_bits | offset;
}

}  // namespace

Layout::Layout(const CreateOptions& options, bool packed, io::AppendLog& log)
    : options_(options),
      cluster_size_(options.geometry.cluster_size()),
      packed_(packed),
      log_(log),
      refcounts_(options.geometry.cluster_bits, options.refcount_bits) {
  allocate();  // the header
  if (packed_) log_.append_zeros(cluster_size_);
}

void Layout::align_log() {
  log_.append_zeros(io::align_up(log_.position(), cluster_size_) - log_.position());
}

// A cluster at the end of the file. Packed: the caller appends it to the log, which is aligned.
std::uint64_t Layout::allocate() {
  const std::uint64_t offset = end();
  assert(offset % cluster_size_ == 0);
  refcounts_.use(offset / cluster_size_);
  if (!packed_) end_ += cluster_size_;
  return offset;
}

// --- L2 tables ------------------------------------------------------------------------------

void Layout::open_table(std::uint64_t cluster) {
  const std::uint64_t index = cluster / options_.geometry.l2_entries();
  if (open_table_ == index) return;
  assert(!open_table_ || *open_table_ < index);
  close_table();
  open_table_ = index;
  table_.assign(cluster_size_, std::byte{0});
}

void Layout::close_table() {
  if (!open_table_) return;
  place_pending();
  if (packed_) align_log();
  const std::uint64_t offset = allocate();
  if (packed_) {
    log_.append(table_);
  } else {
    io::AlignedMemory memory(cluster_size_);
    std::copy(table_.begin(), table_.end(), memory.bytes().begin());
    const io::Buffer buffer = memory.buffer().first(cluster_size_);
    writes_.push_back({offset, buffer, std::move(memory)});
  }
  l1_.resize(*open_table_ + 1);
  l1_.back() = offset | copied_flag;
  open_table_.reset();
}

void Layout::set_entry(std::uint64_t cluster, std::uint64_t word, std::uint64_t subclusters) {
  const std::uint64_t index = cluster % options_.geometry.l2_entries();
  const std::uint64_t at = index * options_.geometry.l2_entry_bytes();
  store_big_endian<std::uint64_t>(table_, at, word);
  if (options_.geometry.extended_l2) store_big_endian<std::uint64_t>(table_, at + 8, subclusters);
}

// --- content --------------------------------------------------------------------------------

void Layout::store_plain(std::uint64_t cluster, io::Buffer content, std::uint64_t subclusters) {
  open_table(cluster);
  content_bytes_ += cluster_size_;
  if (packed_) {
    pending_.push_back({cluster, subclusters});
    pending_content_.insert(pending_content_.end(), content.bytes.begin(), content.bytes.end());
    const std::uint64_t most = std::max(group_bytes, least_group_clusters * cluster_size_);
    if (pending_content_.size() >= most) place_pending();
    return;
  }
  const std::uint64_t offset = allocate();
  set_entry(cluster, offset | copied_flag, subclusters);
  const io::ByteRange part = stored_part(subclusters);
  add_write(offset + part.offset, content.subspan(part.offset, part.length));
}

// What of a cluster has to be written.
io::ByteRange Layout::stored_part(std::uint64_t subclusters) const {
  if (!options_.geometry.extended_l2) return {0, cluster_size_};
  const auto bitmap = static_cast<std::uint32_t>(subclusters);
  const std::uint64_t length = options_.geometry.subcluster_size();
  const auto first = static_cast<std::uint64_t>(std::countr_zero(bitmap));
  const auto last = static_cast<std::uint64_t>(31 - std::countl_zero(bitmap));
  return io::range_between(io::align_down(first * length, write_grain),
                           io::align_up((last + 1) * length, write_grain));
}

// Neighbours in the file that are neighbours in memory are written together.
void Layout::add_write(std::uint64_t offset, io::Buffer buffer) {
  if (!writes_.empty() && !writes_.back().owned) {
    HostWrite& last = writes_.back();
    std::byte* const end = last.buffer.bytes.data() + last.buffer.bytes.size();
    if (last.offset + last.buffer.bytes.size() == offset && end == buffer.bytes.data() &&
        last.buffer.index == buffer.index) {
      last.buffer.bytes = {last.buffer.bytes.data(),
                           last.buffer.bytes.size() + buffer.bytes.size()};
      return;
    }
  }
  writes_.push_back({offset, buffer, std::nullopt});
}

void Layout::place_pending() {
  if (pending_.empty()) return;
  align_log();
  std::span<const std::byte> content = pending_content_;
  for (const Pending& pending : pending_) {
    const std::uint64_t offset = allocate();
    log_.append(content.first(cluster_size_));
    content = content.subspan(cluster_size_);
    set_entry(pending.cluster, offset | copied_flag, pending.subclusters);
  }
  pending_.clear();
  pending_content_.clear();
}

void Layout::store_stream(std::uint64_t cluster, std::span<const std::byte> stream) {
  assert(packed_);
  open_table(cluster);
  content_bytes_ += cluster_size_;
  if (refcounts_.full(log_.position() / cluster_size_)) align_log();
  const std::uint64_t offset = log_.position();
  log_.append(stream);
  const std::uint64_t last = (log_.position() - 1) / cluster_size_;
  for (std::uint64_t used = offset / cluster_size_; used <= last; ++used) refcounts_.use(used);
  set_entry(cluster, stream_word(offset, stream.size(), options_.geometry), 0);
}

void Layout::store_zero(std::uint64_t cluster, std::uint64_t subclusters) {
  assert(options_.version >= 3);
  open_table(cluster);
  set_entry(cluster, options_.geometry.extended_l2 ? 0 : zero_flag, subclusters);
}

std::uint64_t Layout::reserve(std::uint64_t cluster) {
  assert(!packed_);
  open_table(cluster);
  const std::uint64_t offset = allocate();
  set_entry(cluster, offset | copied_flag, 0);
  return offset;
}

// --- the end --------------------------------------------------------------------------------

TablePlaces Layout::place_l1() {
  TablePlaces places;
  places.l1_entries = static_cast<std::uint32_t>(l1_.size());
  places.l1 = {log_.position()};
  std::vector<std::byte> bytes(io::align_up(l1_.size() * 8, cluster_size_));
  for (std::size_t index = 0; index < l1_.size(); ++index) {
    store_big_endian<std::uint64_t>(bytes, index * 8, l1_[index]);
  }
  log_.append(bytes);
  for (std::uint64_t at = places.l1.value; at < log_.position(); at += cluster_size_) {
    refcounts_.use(at / cluster_size_);
  }
  return places;
}

std::vector<std::byte> Layout::finish(std::uint64_t guest_size) {
  close_table();
  l1_.resize(
      std::max<std::uint64_t>(options_.geometry.l1_entries_for(virtual_size_for(guest_size)), 1));
  if (packed_) {
    align_log();
  } else {
    log_.start_at(end_);
  }
  TablePlaces places = place_l1();
  const RefcountPlaces refcounts =
      refcount_places(log_.position() / cluster_size_, cluster_size_, options_.refcount_bits);
  refcounts_.write(refcounts, [this](std::span<const std::byte> cluster) { log_.append(cluster); });
  places.refcount_table = {refcounts.table() * cluster_size_};
  places.refcount_table_clusters = static_cast<std::uint32_t>(refcounts.table_clusters);
  end_ = log_.position();
  return make_header(options_, guest_size, places);
}

}  // namespace formats::qcow2
