// The internal snapshots of a qcow2 image.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/qcow2/header.hpp"
#include "formats/qcow2/tables.hpp"

namespace formats::qcow2 {

struct Snapshot {
  std::string id;  // bytes that somebody else chose, as is `name`
  std::string name;
  HostOffset l1_offset;  // as the image says: to be checked when the table is used
  std::uint32_t l1_entries = 0;
  std::uint64_t disk_size = 0;
  std::uint64_t vm_state_size = 0;
  std::uint32_t date_sec = 0;
  std::uint32_t date_nsec = 0;
  std::uint64_t vm_clock_nsec = 0;
  std::optional<std::uint64_t> icount;
};

struct SnapshotTable {
  std::vector<Snapshot> snapshots;
  std::uint64_t bytes = 0;  // what the table takes in the file
};

// Throws Error when the table breaks the format's rules or qemu's limits.
SnapshotTable read_snapshots(const TableReader& tables, const Header& header);

// The one with this id, else the one with this name.
const Snapshot* find_snapshot(const std::vector<Snapshot>& snapshots, std::string_view wanted);

// The L1 table of a snapshot, checked as the active one is.
std::vector<HostOffset> load_l1(const TableReader& tables, const Header& header,
                                const Snapshot& snapshot);

}  // namespace formats::qcow2
