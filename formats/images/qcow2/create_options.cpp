#include "formats/images/qcow2/create_options.hpp"

#include <bit>

#include <fmt/format.h>

#include "formats/images/qcow2/header_writer.hpp"
#include "formats/images/qcow2/refcount_builder.hpp"
#include "formats/images/qcow2/size_estimate.hpp"

namespace formats::qcow2 {
namespace {

bool too_large(const CreateOptions& options, std::uint64_t guest_size) {
  const Geometry& geometry = options.geometry;
  if (guest_size > largest_disk) return true;
  if (geometry.l1_entries_for(virtual_size_for(guest_size)) > largest_l1_bytes / 8) return true;
  const std::uint64_t clusters =
      fully_allocated_bytes(options, guest_size) / geometry.cluster_size();
  const RefcountPlaces places =
      refcount_places(clusters, geometry.cluster_size(), options.refcount_bits);
  return places.table_clusters * geometry.cluster_size() > largest_refcount_table_bytes;
}

std::string version_fault(const CreateOptions& options) {
  if (options.version >= 3) return {};
  if (options.refcount_bits != 16) return "refcount_bits other than 16 needs compat=1.1";
  if (options.geometry.extended_l2) return "extended_l2 needs compat=1.1";
  if (options.lazy_refcounts) return "lazy_refcounts needs compat=1.1";
  if (options.compression != Compression::deflate) {
    return "compression_type other than zlib needs compat=1.1";
  }
  return {};
}

std::string backing_fault(const CreateOptions& options) {
  if (options.backing_file.empty()) {
    return options.backing_format.empty() ? "" : "backing_fmt needs a backing file";
  }
  if (options.backing_format.empty()) return "a backing file needs its format (backing_fmt)";
  if (options.preallocation != Preallocation::off) {
    return "preallocation is not possible with a backing file";
  }
  if (options.backing_file.size() > 1023) {
    return "the name of the backing file is longer than 1023 bytes";
  }
  if (!header_fits(options)) {
    return "the name of the backing file does not fit into the first cluster; use a shorter one "
           "or a larger cluster_size";
  }
  return {};
}

}  // namespace

std::string fault_of(const CreateOptions& options, std::uint64_t guest_size) {
  const Geometry& geometry = options.geometry;
  if (geometry.cluster_bits < 9 || geometry.cluster_bits > 21) {
    return "cluster_size has to be a power of two from 512 to 2M";
  }
  if (geometry.extended_l2 && geometry.cluster_bits < 14) {
    return "extended_l2 needs a cluster_size of at least 16K";
  }
  if (!std::has_single_bit(options.refcount_bits) || options.refcount_bits > 64) {
    return "refcount_bits has to be 1, 2, 4, 8, 16, 32 or 64";
  }
  if (too_large(options, guest_size)) {
    return fmt::format("a disk of {} bytes is too large for a cluster_size of {}; use a larger one",
                       guest_size, geometry.cluster_size());
  }
  const std::string fault = version_fault(options);
  return fault.empty() ? backing_fault(options) : fault;
}

}  // namespace formats::qcow2
