// Where the guest's bytes are: the L1 and L2 tables of the active disk or of a snapshot.
//
// L2 tables are read when a range needs them and remembered within bounds, so asking about a few
// ranges of a huge image is cheap. Bad entries throw Error when they are met. Not thread-safe.
#pragma once

#include <optional>
#include <vector>

#include "formats/images/qcow2/entries.hpp"
#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/tables.hpp"

namespace formats::qcow2 {

enum class RunKind : std::uint8_t {
  unallocated,  // the backing file's content, or zeros
  zero,
  data,        // at `host`
  compressed,  // one cluster, or a part of one; the stream is at `host`
};

// A range of the guest's disk that is stored in one way.
struct Run {
  RunKind kind = RunKind::unallocated;
  GuestOffset guest;
  std::uint64_t length = 0;
  // Where `guest` is stored. Unallocated and zero runs may have space set aside too; what is
  // there must not be read.
  std::optional<HostOffset> host;
  std::uint32_t stored_bytes = 0;  // of a compressed cluster
};

class Mapping {
 public:
  // `tables` outlives the mapping; `l1` covers `guest_size`.
  Mapping(TableReader& tables, const L2Rules& rules, std::vector<HostOffset> l1,
          std::uint64_t guest_size);

  [[nodiscard]] std::uint64_t guest_size() const { return guest_size_; }

  // What is at `guest` (below guest_size()), for at most `most` bytes. The run is never empty,
  // and may end before its kind does.
  [[nodiscard]] Run run_at(GuestOffset guest, std::uint64_t most);

 private:
  [[nodiscard]] Run unallocated_l1_run(GuestOffset guest) const;
  [[nodiscard]] bool is_empty_table(HostOffset l2);
  [[nodiscard]] L2Entry entry_in(std::span<const std::byte> entries, std::size_t index) const;
  [[nodiscard]] Run run_of(const L2Entry& entry, GuestOffset guest, HostOffset where) const;
  void refuse(const L2Entry& entry, GuestOffset guest, HostOffset where) const;

  TableReader& tables_;
  L2Rules rules_;
  std::vector<HostOffset> l1_;
  std::uint64_t guest_size_;
  HostOffset known_table_;  // the last L2 table that is not a hole
};

}  // namespace formats::qcow2
