// The internal snapshots of a qcow2 image: at most 65536, in a table of at most 64 MiB. Memory is
// below four times what is read of that, time linear in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/tables.hpp"

namespace formats::qcow2 {

// qemu's limits.
inline constexpr std::uint64_t largest_snapshot_table = 64 * io::MiB;
inline constexpr std::size_t longest_snapshot_id = 127;
inline constexpr std::size_t longest_snapshot_name = 255;

struct Snapshot {
  std::string id;  // untrusted bytes, as is `name`
  std::string name;
  HostOffset l1_offset;  // as the image says: to be checked when the table is used
  std::uint32_t l1_entries = 0;
  std::uint64_t disk_size = 0;
  std::uint64_t vm_state_size = 0;
  std::uint32_t date_sec = 0;
  std::uint32_t date_nsec = 0;
  std::uint64_t vm_clock_nsec = 0;
  std::optional<std::uint64_t> icount;
  // An entry of version 3 that does not have its own disk size and the large VM state size, as
  // programs left them that made version 3 of version 2 (qemu up to 4.1). The disk's size stands
  // in.
  bool incomplete = false;
  // More extra data than an entry may have; what is not known of it is lost when it is mended.
  bool oversized = false;

  [[nodiscard]] bool to_be_mended() const { return incomplete || oversized; }
};

struct SnapshotTable {
  std::vector<Snapshot> snapshots;
  std::uint64_t bytes = 0;    // what these take in the file
  std::uint32_t dropped = 0;  // further ones, for which a table has no room
};

// Throws Error when the table breaks the format's rules or qemu's limits.
SnapshotTable read_snapshots(const TableReader& tables, const Header& header);
// The same, but what a repair can mend is no error: entries that are oversized, or too many.
SnapshotTable read_snapshots_to_mend(const TableReader& tables, const Header& header);

[[nodiscard]] bool any_to_be_mended(const SnapshotTable& table);

// The entries of `table`, which was read from there, as they stand in the file: whole words each.
[[nodiscard]] std::vector<std::vector<std::byte>> raw_entries(const TableReader& tables,
                                                              const Header& header,
                                                              const SnapshotTable& table);
[[nodiscard]] std::vector<std::byte> joined_entries(
    const std::vector<std::vector<std::byte>>& entries);
// A new entry, with what version 3 demands and older programs skip.
[[nodiscard]] std::vector<std::byte> make_entry(const Snapshot& snapshot);

// The bytes of `table`, which was read from there, with every entry as version 3 wants it.
[[nodiscard]] std::vector<std::byte> mended_table(const TableReader& tables, const Header& header,
                                                  const SnapshotTable& table);

// The one with this id, else the one with this name. "snapshot.id=ID" and "snapshot.name=NAME", as
// qemu-img spells them, say which of the two is meant; with a comma between them, both.
const Snapshot* find_snapshot(const std::vector<Snapshot>& snapshots, std::string_view wanted);

// The L1 table of a snapshot, checked as the active one is.
std::vector<HostOffset> load_l1(const TableReader& tables, const Header& header,
                                const Snapshot& snapshot);

}  // namespace formats::qcow2
