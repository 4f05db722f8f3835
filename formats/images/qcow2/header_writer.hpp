// Makes the first cluster of a new qcow2 image.
#pragma once

#include <cstddef>
#include <functional>
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

// The content of the extension that names features, for older programs to say which of them they do
// not know: those wanted(word, bit) of the header's words 0 incompatible, 1 compatible, 2
// autoclear.
std::vector<std::byte> feature_names(const std::function<bool(unsigned, unsigned)>& wanted);

// Whether the names of the options fit into one cluster.
bool header_fits(const CreateOptions& options);

}  // namespace formats::qcow2
