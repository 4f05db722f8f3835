#include "formats/images/qcow2/mapping.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

enum class SubclusterState : std::uint8_t { unallocated, allocated, zero };

SubclusterState state_of(std::uint64_t subclusters, unsigned index) {
  if ((subclusters >> (32 + index) & 1) != 0) return SubclusterState::zero;
  return (subclusters >> index & 1) != 0 ? SubclusterState::allocated
                                         : SubclusterState::unallocated;
}

RunKind kind_of(SubclusterState state) {
  switch (state) {
    case SubclusterState::zero:
      return RunKind::zero;
    case SubclusterState::allocated:
      return RunKind::data;
    case SubclusterState::unallocated:
      break;
  }
  return RunKind::unallocated;
}

// `next` follows `run` in the guest: does it so in the file, too?
bool continues(const Run& run, const Run& next) {
  if (run.kind != next.kind || run.host.has_value() != next.host.has_value()) return false;
  return !run.host || *run.host + run.length == *next.host;
}

bool is_zero_word(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t word;
  std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word == 0;
}

}  // namespace

Mapping::Mapping(TableReader& tables, const L2Rules& rules, std::vector<HostOffset> l1,
                 std::uint64_t guest_size)
    : tables_(tables), rules_(rules), l1_(std::move(l1)), guest_size_(guest_size) {
  assert(l1_.size() >= rules_.geometry.l1_entries_for(guest_size));
}

Run Mapping::run_at(GuestOffset guest, std::uint64_t most) {
  assert(guest.value < guest_size_ && most > 0);
  most = std::min(most, guest_size_ - guest.value);
  const Geometry& geometry = rules_.geometry;
  const HostOffset l2 = l1_[guest.value / geometry.guest_bytes_per_l2()];
  if (l2.value == 0) {
    Run run = unallocated_l1_run(guest);
    run.length = std::min(run.length, most);
    return run;
  }
  if (is_empty_table(l2)) {
    const std::uint64_t covered = geometry.guest_bytes_per_l2();
    Run run;
    run.guest = guest;
    run.length = std::min(covered - guest.value % covered, most);
    return run;
  }
  const std::uint64_t index = guest.value % geometry.guest_bytes_per_l2() / geometry.cluster_size();
  const HostOffset where = l2 + index * geometry.l2_entry_bytes();
  const auto entries = tables_.cached(where, geometry.cluster_size() - (where - l2));
  const std::size_t stride = geometry.l2_entry_bytes();

  Run run = run_of(entry_in(entries, 0), guest, where);
  if (run.kind == RunKind::compressed) most = std::min(most, run.length);
  const bool empty = run.kind == RunKind::unallocated && !run.host;
  // A run that ends inside its cluster is over.
  const bool whole = geometry.offset_in_cluster(guest.value + run.length) == 0;
  for (std::size_t at = stride; whole && at + stride <= entries.size() && run.length < most;
       at += stride) {
    // Most of a sparse table is zero words; they need no decoding.
    if (empty && is_zero_word(entries, at) &&
        (!geometry.extended_l2 || is_zero_word(entries, at + 8))) {
      run.length += geometry.cluster_size();
      continue;
    }
    const Run next = run_of(entry_in(entries, at), guest + run.length, where + at);
    if (!continues(run, next)) break;
    run.length += next.length;
    if (next.length < geometry.cluster_size()) break;  // the rest of the cluster is different
  }
  run.length = std::min(run.length, most);
  return run;
}

// A table in a hole of the file need not be read: a small file can name millions of them.
bool Mapping::is_empty_table(HostOffset l2) {
  if (l2 == known_table_) return false;
  if (tables_.is_hole(l2, rules_.geometry.cluster_size())) return true;
  known_table_ = l2;
  return false;
}

// To the end of the range that has no L2 tables.
Run Mapping::unallocated_l1_run(GuestOffset guest) const {
  const std::uint64_t covered = rules_.geometry.guest_bytes_per_l2();
  std::uint64_t index = guest.value / covered;
  while (index < l1_.size() && l1_[index].value == 0 && index * covered < guest_size_) ++index;
  Run run;
  run.guest = guest;
  run.length = std::min(index * covered, guest_size_) - guest.value;
  return run;
}

L2Entry Mapping::entry_in(std::span<const std::byte> entries, std::size_t offset) const {
  L2Entry entry;
  entry.word = load_big_endian<std::uint64_t>(entries, offset);
  if (rules_.geometry.extended_l2) {
    entry.subclusters = load_big_endian<std::uint64_t>(entries, offset + 8);
  }
  return entry;
}

// From `guest` to where its cluster or its subclusters of one kind end. `where` is the entry's
// own place.
Run Mapping::run_of(const L2Entry& entry, GuestOffset guest, HostOffset where) const {
  refuse(entry, guest, where);
  const Geometry& geometry = rules_.geometry;
  const std::uint64_t inside = geometry.offset_in_cluster(guest.value);
  Run run;
  run.guest = guest;
  run.length = geometry.cluster_size() - inside;
  if (entry.compressed()) {
    const CompressedStream stream = compressed_stream(entry.word, geometry);
    run.kind = RunKind::compressed;
    run.host = stream.offset;
    run.stored_bytes = stream.bytes;
    return run;
  }
  if (has_space(entry, rules_)) run.host = table_offset(entry.word) + inside;
  if (!geometry.extended_l2) {
    if ((entry.word & zero_flag) != 0) {
      run.kind = RunKind::zero;
    } else if (run.host) {
      run.kind = RunKind::data;
    }
    return run;
  }
  auto index = static_cast<unsigned>(inside / geometry.subcluster_size());
  const SubclusterState state = state_of(entry.subclusters, index);
  while (index < 32 && state_of(entry.subclusters, index) == state) ++index;
  run.kind = kind_of(state);
  run.length = index * geometry.subcluster_size() - inside;
  return run;
}

void Mapping::refuse(const L2Entry& entry, GuestOffset guest, HostOffset where) const {
  std::string fault = l2_fault(entry, rules_);
  const HostOffset cluster = table_offset(entry.word);
  if (fault.empty() && rules_.external_data && cluster.value != 0 &&
      cluster.value != io::align_down(guest.value, rules_.geometry.cluster_size())) {
    fault = "the place in the external data file is not the guest's";
  }
  if (fault.empty()) return;
  throw io::Error::format(
      tables_.path(), where.value,
      fmt::format("L2 entry {:#018x} for guest offset {}: {}", entry.word, guest.value, fault));
}

}  // namespace formats::qcow2
