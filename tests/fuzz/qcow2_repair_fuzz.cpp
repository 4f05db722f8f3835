// A damaged qcow2 file: after each kind of repair the guest's disk is where it was, with the bytes
// that it had, and fewer things are wrong or as many.
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/mapping.hpp"
#include "formats/images/qcow2/repair.hpp"
#include "io/error.hpp"

namespace {

using namespace formats::qcow2;

const io::StopFlag never_stop{0};

struct Piece {
  Run run;
  std::vector<std::byte> stored;
  friend bool operator==(const Piece& a, const Piece& b) {
    return a.run.kind == b.run.kind && a.run.guest == b.run.guest && a.run.length == b.run.length &&
           a.run.host == b.run.host && a.stored == b.stored;
  }
};

io::File memory_file(std::span<const std::uint8_t> content) {
  io::File file(io::FileDescriptor(memfd_create("fuzz", MFD_CLOEXEC)), "fuzz");
  file.write_at(0, std::as_bytes(content));
  return file;
}

// The start of the guest's disk; nothing when a table of it cannot be read.
std::optional<std::vector<Piece>> disk_of(const io::File& file) {
  try {
    const Header header = read_header(file);
    TableReader tables(file);
    Mapping mapping(tables, {header.geometry, header.version > 2, header.external_data},
                    load_l1(tables, header.geometry, header.l1_offset, header.l1_entries),
                    header.virtual_size);
    std::vector<Piece> disk;
    GuestOffset guest;
    while (disk.size() < 300 && guest.value < header.virtual_size) {
      Piece piece{mapping.run_at(guest, header.virtual_size - guest.value), {}};
      guest = guest + piece.run.length;
      if (piece.run.kind == RunKind::data || piece.run.kind == RunKind::compressed) {
        piece.stored.resize(piece.run.kind == RunKind::data ? piece.run.length
                                                            : piece.run.stored_bytes);
        const std::size_t there = file.read_at(piece.run.host->value, piece.stored);
        // The place behind the end of the file may become another cluster's. That of a stream is
        // its own: a repair that makes the file longer leaves zeros there.
        if (there < piece.stored.size() && piece.run.kind == RunKind::data) return {};
      }
      disk.push_back(std::move(piece));
    }
    return disk;
  } catch (const io::Error&) {
    return {};
  }
}

std::optional<CheckResult> check_quietly(const io::File& file) {
  try {
    return check(
        file, [](const std::string&) {}, never_stop);
  } catch (const io::Error&) {
    return {};
  }
}

// A table that is guest data too is left as it is, and so are the flags in it, which a right
// refcount may make wrong; and only where that is right is the cluster told.
bool is_worse(const CheckResult& found, const CheckResult& left) {
  const auto others = [](const CheckResult& result) {
    return result.corruptions - result.overlaps - result.wrong_flags;
  };
  if (left.overlaps == 0 && left.corruptions > found.corruptions) return true;
  return others(left) > others(found);
}

void repair_and_compare(std::span<const std::uint8_t> content, RepairScope scope) {
  const io::File file = memory_file(content);
  const auto found = check_quietly(file);
  if (!found) return;
  if (scope == RepairScope::flags &&
      (found->leaks != 0 || found->errors != 0 || found->corruptions != found->wrong_flags)) {
    return;
  }
  const auto disk = disk_of(file);
  repair(file, scope, never_stop);
  const auto left = check_quietly(file);
  if (!left) std::abort();
  if (scope == RepairScope::leaks && left->leaks > found->leaks) std::abort();
  if (scope != RepairScope::leaks && is_worse(*found, *left)) std::abort();
  if (disk && disk != disk_of(file)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const RepairScope scope : {RepairScope::leaks, RepairScope::flags, RepairScope::all}) {
    repair_and_compare({data, size}, scope);
  }
  return 0;
}
