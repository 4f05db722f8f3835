#include "formats/images/qcow2/size_estimate.hpp"

#include <algorithm>

#include "formats/images/qcow2/refcount_builder.hpp"

namespace formats::qcow2 {

std::uint64_t image_bytes(const CreateOptions& options, std::uint64_t guest_size,
                          std::uint64_t content_bytes, std::uint64_t tables) {
  const std::uint64_t cluster_size = options.geometry.cluster_size();
  const std::uint64_t l1_entries =
      std::max<std::uint64_t>(options.geometry.l1_entries_for(virtual_size_for(guest_size)), 1);
  const std::uint64_t header = 1;
  const std::uint64_t content = io::align_up(content_bytes, cluster_size) / cluster_size;
  const std::uint64_t l1 = io::align_up(l1_entries * 8, cluster_size) / cluster_size;
  const RefcountPlaces places =
      refcount_places(header + content + tables + l1, cluster_size, options.refcount_bits);
  return places.end() * cluster_size;
}

std::uint64_t fully_allocated_bytes(const CreateOptions& options, std::uint64_t guest_size) {
  return image_bytes(options, guest_size, guest_size,
                     options.geometry.l1_entries_for(virtual_size_for(guest_size)));
}

}  // namespace formats::qcow2
