// Makes the first cluster of a new qcow2 image.
#pragma once

#include <vector>

#include "formats/images/qcow2/create_options.hpp"

namespace formats::qcow2 {

// Where the tables are.
struct TablePlaces {
  HostOffset l1;
  std::uint32_t l1_entries = 0;
  HostOffset refcount_table;
  std::uint32_t refcount_table_clusters = 0;
};

// One cluster. fault_of(options, guest_size) is empty.
std::vector<std::byte> make_header(const CreateOptions& options, std::uint64_t guest_size,
                                   const TablePlaces& tables);

// Whether the names of the options fit into one cluster.
bool header_fits(const CreateOptions& options);

}  // namespace formats::qcow2
