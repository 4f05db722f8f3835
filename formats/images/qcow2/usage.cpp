#include "formats/images/qcow2/usage.hpp"

#include <algorithm>
#include <vector>

#include "formats/images/qcow2/mapping.hpp"
#include "formats/images/qcow2/snapshots.hpp"

namespace formats::qcow2 {
namespace {

class Walk {
 public:
  Walk(TableReader& tables, const Header& header)
      : tables_(tables),
        header_(header),
        clusters_((tables.file_size() + cluster_size() - 1) / cluster_size()) {}

  // Marks in `seen` every cluster that the disk described by `l1` has data in, and gives the
  // bytes of its compressed ones.
  std::uint64_t disk(std::vector<HostOffset> l1, std::uint64_t size, std::vector<bool>& seen) {
    seen.resize(clusters_);
    Mapping mapping(tables_, {header_.geometry, header_.version > 2, header_.external_data},
                    std::move(l1), size);
    std::uint64_t compressed = 0;
    for (GuestOffset guest; guest.value < size;) {
      const Run run = mapping.run_at(guest, size - guest.value);
      guest = guest + run.length;
      if (!run.host) continue;
      const bool stream = run.kind == RunKind::compressed;
      const std::uint64_t stored = stream ? run.stored_bytes : run.length;
      if (stream) compressed += stored;
      mark(*run.host, stored, seen);
      missing_ += stored - std::min(stored, bytes_in_file(*run.host));
    }
    return compressed;
  }

  // Bytes that entries seen so far place in clusters that the file does not have.
  [[nodiscard]] std::uint64_t missing() const { return missing_; }

  [[nodiscard]] std::uint64_t cluster_size() const { return header_.geometry.cluster_size(); }

 private:
  // From there to the end of the file's last cluster, which may be cut short.
  [[nodiscard]] std::uint64_t bytes_in_file(HostOffset host) const {
    const std::uint64_t end = clusters_ * cluster_size();
    return end - std::min(end, host.value);
  }

  void mark(HostOffset host, std::uint64_t length, std::vector<bool>& seen) const {
    const std::uint64_t end = std::min((host.value + length + cluster_size() - 1) / cluster_size(),
                                       std::uint64_t{clusters_});
    for (std::uint64_t at = host.value / cluster_size(); at < end; ++at) seen[at] = true;
  }

  TableReader& tables_;
  const Header& header_;
  std::size_t clusters_;
  std::uint64_t missing_ = 0;
};

}  // namespace

Usage read_usage(const io::File& file) {
  const Header header = read_header(file);
  TableReader tables(file);
  Walk walk(tables, header);
  Usage usage;
  if (header.external_data) return usage;
  std::vector<bool> now;
  usage.compressed_bytes =
      walk.disk(load_l1(tables, header.geometry, header.l1_offset, header.l1_entries),
                header.virtual_size, now);
  usage.missing_bytes = walk.missing();
  std::vector<bool> then(now.size());
  for (const Snapshot& snapshot : read_snapshots(tables, header).snapshots) {
    (void)walk.disk(load_l1(tables, header, snapshot), snapshot.disk_size, then);
  }
  for (std::size_t index = 0; index < now.size(); ++index) {
    if (then[index] && !now[index]) usage.snapshot_bytes += walk.cluster_size();
  }
  return usage;
}

}  // namespace formats::qcow2
