#include "formats/images/qcow2/snapshots.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t snapshot_fixed_bytes = 40;
constexpr std::uint32_t most_extra = 1024;
constexpr std::uint32_t least_extra_v3 = 16;
constexpr std::uint32_t written_extra = 24;    // as qemu since 5.2: with the instruction count
constexpr std::size_t extra_bytes_field = 36;  // of an entry

// Entries follow one another, so that a table of 64 MiB is read piece by piece.
class SnapshotParser {
 public:
  enum class Purpose : std::uint8_t { use, repair };

  SnapshotParser(const TableReader& tables, const Header& header, Purpose purpose)
      : tables_(tables),
        header_(header),
        strict_(purpose == Purpose::use),
        offset_(header.snapshots_offset) {}

  SnapshotTable parse() {
    if (strict_ && header_.snapshot_count > most_snapshots) {
      fail_where_repair_helps(fmt::format("the table has {} snapshots, more than {}",
                                          header_.snapshot_count, most_snapshots));
    }
    SnapshotTable table;
    while (table.snapshots.size() <
           std::min<std::uint64_t>(header_.snapshot_count, most_snapshots)) {
      Snapshot snapshot = parse_entry();
      const std::uint64_t bytes = offset_ - header_.snapshots_offset;
      if (bytes > largest_snapshot_table) {
        if (!strict_) break;
        fail_where_repair_helps(
            fmt::format("the snapshot table is larger than {} bytes", largest_snapshot_table));
      }
      table.snapshots.push_back(std::move(snapshot));
      table.bytes = bytes;
    }
    table.dropped = header_.snapshot_count - static_cast<std::uint32_t>(table.snapshots.size());
    return table;
  }

 private:
  [[noreturn]] void fail(std::string text) const {
    throw io::Error::format(tables_.path(), offset_.value, std::move(text));
  }

  [[noreturn]] void fail_where_repair_helps(std::string_view text) const {
    fail(fmt::format("{}; imgtool check --repair all leaves out what is too much", text));
  }

  Snapshot parse_entry() {
    const auto fixed = take(snapshot_fixed_bytes);
    Snapshot snapshot;
    snapshot.l1_offset = {load_big_endian<std::uint64_t>(fixed, 0)};
    snapshot.l1_entries = load_big_endian<std::uint32_t>(fixed, 8);
    const auto id_bytes = load_big_endian<std::uint16_t>(fixed, 12);
    const auto name_bytes = load_big_endian<std::uint16_t>(fixed, 14);
    snapshot.date_sec = load_big_endian<std::uint32_t>(fixed, 16);
    snapshot.date_nsec = load_big_endian<std::uint32_t>(fixed, 20);
    snapshot.vm_clock_nsec = load_big_endian<std::uint64_t>(fixed, 24);
    snapshot.vm_state_size = load_big_endian<std::uint32_t>(fixed, 32);
    parse_extra(load_big_endian<std::uint32_t>(fixed, 36), snapshot);
    snapshot.id = take_text("id", id_bytes, longest_snapshot_id);
    snapshot.name = take_text("name", name_bytes, longest_snapshot_name);
    const std::uint64_t used = offset_ - header_.snapshots_offset;
    offset_ = header_.snapshots_offset + io::align_up(used, 8);
    return snapshot;
  }

  void parse_extra(std::uint32_t bytes, Snapshot& snapshot) {
    snapshot.oversized = bytes > most_extra;
    if (snapshot.oversized && strict_) {
      fail_where_repair_helps(
          fmt::format("a snapshot has {} bytes of extra data, more than {}", bytes, most_extra));
    }
    snapshot.incomplete = header_.version > 2 && bytes < least_extra_v3;
    const auto extra = take(std::min(bytes, most_extra));
    offset_ = offset_ + (bytes - extra.size());
    snapshot.disk_size = header_.virtual_size;
    if (bytes >= 8) snapshot.vm_state_size = load_big_endian<std::uint64_t>(extra, 0);
    if (bytes >= 16) {
      snapshot.disk_size = io::align_down(load_big_endian<std::uint64_t>(extra, 8), 512);
    }
    if (bytes >= 24) {
      const auto icount = load_big_endian<std::uint64_t>(extra, 16);
      if (icount != ~std::uint64_t{0}) snapshot.icount = icount;
    }
  }

  // The next `bytes`, until the next call.
  std::span<const std::byte> take(std::size_t bytes) {
    std::uint64_t at = offset_.value - ahead_from_.value;
    if (offset_ < ahead_from_ || at > ahead_.size() || bytes > ahead_.size() - at) {
      read_ahead(bytes);
      at = 0;
    }
    offset_ = offset_ + bytes;
    return std::span(ahead_).subspan(at, bytes);
  }

  // At least `bytes` from here on; a table has 65536 entries, each of which is taken in pieces.
  void read_ahead(std::size_t bytes) {
    constexpr std::uint64_t at_once = 64 * io::KiB;
    const std::uint64_t there =
        offset_.value < tables_.file_size() ? tables_.file_size() - offset_.value : 0;
    ahead_.resize(std::max<std::uint64_t>(bytes, std::min(there, at_once)));
    tables_.read(offset_, ahead_, "the snapshot table");
    ahead_from_ = offset_;
  }

  std::string take_text(std::string_view what, std::size_t bytes, std::size_t longest) {
    if (bytes > longest) {
      fail(fmt::format("a snapshot's {} has {} bytes, more than {}", what, bytes, longest));
    }
    names_bytes_ += bytes;
    if (names_bytes_ > most_names_bytes) {
      fail(fmt::format("the names of snapshots have more than {} bytes", most_names_bytes));
    }
    const auto part = take(bytes);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

  const TableReader& tables_;
  const Header& header_;
  bool strict_;
  HostOffset offset_;
  std::vector<std::byte> ahead_;  // what was read from here on
  HostOffset ahead_from_;
  std::uint64_t names_bytes_ = 0;
};

}  // namespace

SnapshotTable read_snapshots(const TableReader& tables, const Header& header) {
  return SnapshotParser(tables, header, SnapshotParser::Purpose::use).parse();
}

SnapshotTable read_snapshots_to_mend(const TableReader& tables, const Header& header) {
  return SnapshotParser(tables, header, SnapshotParser::Purpose::repair).parse();
}

bool any_to_be_mended(const SnapshotTable& table) {
  return table.dropped > 0 ||
         std::any_of(table.snapshots.begin(), table.snapshots.end(),
                     [](const Snapshot& snapshot) { return snapshot.to_be_mended(); });
}

std::vector<std::vector<std::byte>> raw_entries(const TableReader& tables, const Header& header,
                                                const SnapshotTable& table) {
  std::vector<std::byte> bytes(table.bytes);
  // The file may end without the padding of the last entry.
  const std::uint64_t there = tables.file_size() - header.snapshots_offset.value;
  tables.read(header.snapshots_offset,
              std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), there)),
              "the snapshot table");
  std::vector<std::vector<std::byte>> entries;
  std::size_t at = 0;
  for (const Snapshot& snapshot : table.snapshots) {
    const auto entry = std::span(bytes).subspan(at);
    const std::size_t extra = load_big_endian<std::uint32_t>(entry, extra_bytes_field);
    const std::size_t length =
        snapshot_fixed_bytes + extra + snapshot.id.size() + snapshot.name.size();
    entries.emplace_back(entry.begin(), entry.begin() + static_cast<std::ptrdiff_t>(length));
    // The last one may end without its padding.
    entries.back().resize(io::align_up(length, 8));
    at += entries.back().size();
  }
  return entries;
}

std::vector<std::byte> joined_entries(const std::vector<std::vector<std::byte>>& entries) {
  std::vector<std::byte> table;
  for (const auto& entry : entries) table.insert(table.end(), entry.begin(), entry.end());
  return table;
}

std::vector<std::byte> make_entry(const Snapshot& snapshot) {
  std::vector<std::byte> entry(snapshot_fixed_bytes + written_extra);
  store_big_endian(entry, 0, snapshot.l1_offset.value);
  store_big_endian(entry, 8, snapshot.l1_entries);
  store_big_endian(entry, 12, static_cast<std::uint16_t>(snapshot.id.size()));
  store_big_endian(entry, 14, static_cast<std::uint16_t>(snapshot.name.size()));
  store_big_endian(entry, 16, snapshot.date_sec);
  store_big_endian(entry, 20, snapshot.date_nsec);
  store_big_endian(entry, 24, snapshot.vm_clock_nsec);
  store_big_endian(entry, extra_bytes_field, written_extra);
  store_big_endian(entry, snapshot_fixed_bytes, snapshot.vm_state_size);
  store_big_endian(entry, snapshot_fixed_bytes + 8, snapshot.disk_size);
  store_big_endian(entry, snapshot_fixed_bytes + 16, snapshot.icount.value_or(~std::uint64_t{0}));
  for (const std::string* text : {&snapshot.id, &snapshot.name}) {
    const auto bytes = std::as_bytes(std::span(*text));
    entry.insert(entry.end(), bytes.begin(), bytes.end());
  }
  entry.resize(io::align_up(entry.size(), 8));
  return entry;
}

std::vector<std::byte> mended_table(const TableReader& tables, const Header& header,
                                    const SnapshotTable& table) {
  auto entries = raw_entries(tables, header, table);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Snapshot& snapshot = table.snapshots[i];
    if (!snapshot.to_be_mended()) continue;
    auto& entry = entries[i];
    const auto extra = entry.begin() + static_cast<std::ptrdiff_t>(snapshot_fixed_bytes);
    const auto before = load_big_endian<std::uint32_t>(entry, extra_bytes_field);
    const std::uint32_t after = snapshot.oversized ? written_extra : least_extra_v3;
    if (before > after) {
      entry.erase(extra + after, extra + before);
    } else {
      entry.insert(extra + before, after - before, std::byte{0});
    }
    store_big_endian(entry, extra_bytes_field, after);
    store_big_endian(entry, snapshot_fixed_bytes, snapshot.vm_state_size);
    store_big_endian(entry, snapshot_fixed_bytes + 8, snapshot.disk_size);
    entry.resize(
        io::align_up(snapshot_fixed_bytes + after + snapshot.id.size() + snapshot.name.size(), 8));
  }
  return joined_entries(entries);
}

namespace {

// What is wanted of a snapshot: nothing where it was not said.
struct SnapshotParameters {
  std::optional<std::string_view> id;
  std::optional<std::string_view> name;

  [[nodiscard]] bool fit(const Snapshot& snapshot) const {
    return (!id || snapshot.id == *id) && (!name || snapshot.name == *name);
  }
};

// Nothing where `text` is no list of parameters, but an id or a name itself.
std::optional<SnapshotParameters> parse_parameters(std::string_view text) {
  SnapshotParameters parameters;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    if (one.starts_with("snapshot.id=")) {
      parameters.id = one.substr(one.find('=') + 1);
    } else if (one.starts_with("snapshot.name=")) {
      parameters.name = one.substr(one.find('=') + 1);
    } else {
      return std::nullopt;
    }
  }
  return parameters;
}

}  // namespace

const Snapshot* find_snapshot(const std::vector<Snapshot>& snapshots, std::string_view wanted) {
  if (const auto parameters = wanted.empty() ? std::nullopt : parse_parameters(wanted)) {
    const auto found =
        std::find_if(snapshots.begin(), snapshots.end(),
                     [&](const Snapshot& snapshot) { return parameters->fit(snapshot); });
    return found == snapshots.end() ? nullptr : &*found;
  }
  for (const auto member : {&Snapshot::id, &Snapshot::name}) {
    const auto found =
        std::find_if(snapshots.begin(), snapshots.end(),
                     [&](const Snapshot& snapshot) { return snapshot.*member == wanted; });
    if (found != snapshots.end()) return &*found;
  }
  return nullptr;
}

std::vector<HostOffset> load_l1(const TableReader& tables, const Header& header,
                                const Snapshot& snapshot) {
  const std::uint64_t needed = header.geometry.l1_entries_for(snapshot.disk_size);
  const std::uint64_t bytes = std::uint64_t{snapshot.l1_entries} * 8;
  const std::uint64_t offset = snapshot.l1_offset.value;
  std::string fault;
  if (header.geometry.offset_in_cluster(offset) != 0) {
    fault = "not at a multiple of the cluster size";
  } else if (bytes > largest_l1_bytes) {
    fault = fmt::format("larger than {} bytes", largest_l1_bytes);
  } else if (snapshot.l1_entries < needed) {
    fault = fmt::format("too small: {} bytes of disk need {} entries", snapshot.disk_size, needed);
  } else if (offset > tables.file_size() || bytes > tables.file_size() - offset) {
    fault = "past the end of the file";
  }
  if (!fault.empty()) {
    throw io::Error::format(tables.path(), offset,
                            fmt::format("the L1 table of {} entries of snapshot {} is {}",
                                        snapshot.l1_entries, snapshot.id, fault));
  }
  return load_l1(tables, header.geometry, snapshot.l1_offset, snapshot.l1_entries);
}

}  // namespace formats::qcow2
