#include "formats/images/qcow2/entries.hpp"

#include <fmt/format.h>

namespace formats::qcow2 {
namespace {

std::string compressed_fault(const L2Entry& entry, const L2Rules& rules) {
  if (rules.external_data) return "compressed, but the data is in an external file";
  if (entry.subclusters != 0) return "compressed, but with subclusters";
  if (compressed_stream(entry.word, rules.geometry).offset.value >> 56 != 0) {
    return "its offset has more than 56 bits";
  }
  return {};
}

std::string subcluster_fault(const L2Entry& entry, const L2Rules& rules) {
  if ((entry.word & zero_flag) != 0) return "the zero flag is set beside subclusters";
  const std::uint64_t allocated = entry.subclusters & 0xffffffff;
  if ((allocated & entry.subclusters >> 32) != 0) {
    return fmt::format("subclusters {:#018x} both allocated and zero", entry.subclusters);
  }
  if (allocated != 0 && !has_space(entry, rules)) {
    return "subclusters are allocated, but the cluster is not";
  }
  return {};
}

}  // namespace

std::string l1_fault(std::uint64_t word, const Geometry& geometry, std::uint64_t file_size) {
  if ((word & l1_reserved_mask) != 0) return "reserved bits are set";
  const HostOffset l2 = table_offset(word);
  if (l2.value == 0) return "no offset, but flags";
  if (geometry.offset_in_cluster(l2.value) != 0) return "the offset is not that of a cluster";
  if (l2.value > file_size || geometry.cluster_size() > file_size - l2.value) {
    return fmt::format("past the end of the file ({} bytes)", file_size);
  }
  return {};
}

bool has_misplaced_zeros(const L2Entry& entry, const L2Rules& rules) {
  return !entry.compressed() && !rules.geometry.extended_l2 && (entry.word & zero_flag) != 0 &&
         rules.geometry.offset_in_cluster(table_offset(entry.word).value) != 0;
}

std::string l2_fault(const L2Entry& entry, const L2Rules& rules) {
  if (entry.compressed()) return compressed_fault(entry, rules);
  if ((entry.word & l2_reserved_mask) != 0) return "reserved bits are set";
  if ((entry.word & zero_flag) != 0 && !rules.zero_flag_allowed) {
    return "the zero flag is set, but the image has version 2";
  }
  if (rules.geometry.offset_in_cluster(table_offset(entry.word).value) != 0 &&
      !has_misplaced_zeros(entry, rules)) {
    return "the offset is not that of a cluster";
  }
  return rules.geometry.extended_l2 ? subcluster_fault(entry, rules) : std::string();
}

}  // namespace formats::qcow2
