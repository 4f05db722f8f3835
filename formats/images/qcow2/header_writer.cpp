#include "formats/images/qcow2/header_writer.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <string_view>

#include "formats/images/qcow2/header_bytes.hpp"
#include "formats/images/qcow2/header_layout.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::size_t feature_entry_bytes = 48;

struct Feature {
  std::uint8_t word;  // 0 incompatible, 1 compatible, 2 autoclear
  std::uint8_t bit;
  std::string_view name;
};
// What older programs say when they meet a bit they do not know.
constexpr std::array<Feature, 8> features{{
    {0, 0, "dirty bit"},
    {0, 1, "corrupt bit"},
    {0, 2, "external data file"},
    {0, 3, "compression type"},
    {0, 4, "extended L2 entries"},
    {1, 0, "lazy refcounts"},
    {2, 0, "bitmaps"},
    {2, 1, "raw external data"},
}};

std::size_t base_bytes(const CreateOptions& options) {
  return options.version == 2 ? v2_header_bytes : written_v3_header_bytes;
}

// What has to be in the first cluster, the names of features aside.
std::size_t needed_bytes(const CreateOptions& options) {
  std::size_t bytes = base_bytes(options) + 8;  // the extensions' end
  if (!options.backing_format.empty()) bytes += 8 + io::align_up(options.backing_format.size(), 8);
  return bytes + options.backing_file.size();
}

void put_fields(HeaderBytes& header, const CreateOptions& options, std::uint64_t guest_size,
                const TablePlaces& tables) {
  header.put<std::uint32_t>(0, magic);
  header.put<std::uint32_t>(at::version, options.version);
  header.put<std::uint32_t>(at::cluster_bits, options.geometry.cluster_bits);
  header.put<std::uint64_t>(at::virtual_size, virtual_size_for(guest_size));
  header.put<std::uint32_t>(at::l1_size, tables.l1_entries);
  header.put<std::uint64_t>(at::l1_offset, tables.l1.value);
  header.put<std::uint64_t>(at::refcount_table_offset, tables.refcount_table.value);
  header.put<std::uint32_t>(at::refcount_table_clusters, tables.refcount_table_clusters);
  if (options.version == 2) return;
  const bool zstd = options.compression == Compression::zstd;
  std::uint64_t incompatible = 0;
  if (zstd) incompatible |= incompatible_bit::compression;
  if (options.geometry.extended_l2) incompatible |= incompatible_bit::extended_l2;
  header.put<std::uint64_t>(at::incompatible, incompatible);
  header.put<std::uint64_t>(at::compatible, options.lazy_refcounts ? 1 : 0);
  header.put<std::uint32_t>(at::refcount_order,
                            static_cast<std::uint32_t>(std::countr_zero(options.refcount_bits)));
  header.put<std::uint32_t>(at::header_length, written_v3_header_bytes);
  header.put<std::uint8_t>(at::compression_type, zstd ? 1 : 0);
}

}  // namespace

std::vector<std::byte> feature_names(const std::function<bool(unsigned, unsigned)>& wanted) {
  std::vector<std::byte> table;
  for (const Feature& feature : features) {
    if (!wanted(feature.word, feature.bit)) continue;
    const std::size_t at = table.size();
    table.resize(at + feature_entry_bytes);
    table[at] = std::byte{feature.word};
    table[at + 1] = std::byte{feature.bit};
    std::memcpy(table.data() + at + 2, feature.name.data(), feature.name.size());
  }
  return table;
}

bool header_fits(const CreateOptions& options) {
  return needed_bytes(options) <= options.geometry.cluster_size();
}

std::vector<std::byte> make_header(const CreateOptions& options, std::uint64_t guest_size,
                                   const TablePlaces& tables) {
  const std::uint64_t cluster_size = options.geometry.cluster_size();
  HeaderBytes header(base_bytes(options));
  put_fields(header, options, guest_size, tables);
  if (!options.backing_format.empty()) {
    header.extension(extension::backing_format, options.backing_format);
  }
  const auto names = feature_names([](unsigned, unsigned) { return true; });
  if (options.version >= 3 && needed_bytes(options) + 8 + names.size() <= cluster_size) {
    header.extension(extension::feature_names, names);
  }
  header.extension(extension::end, std::string_view());
  if (!options.backing_file.empty()) {
    header.put<std::uint64_t>(at::backing_offset, header.size());
    header.put<std::uint32_t>(at::backing_size,
                              static_cast<std::uint32_t>(options.backing_file.size()));
    header.append(options.backing_file);
  }
  assert(header.size() <= cluster_size);
  return std::move(header).take(cluster_size);
}

}  // namespace formats::qcow2
