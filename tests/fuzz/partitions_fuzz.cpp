// A disk with a partition table, the same table fitted to disks of other sizes, and the disk with
// smaller partitions. Anything but an io::Error, or a table that does not read back as it was
// written, is a bug.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "formats/disks/partitions/fit.hpp"
#include "formats/disks/partitions/relayout.hpp"
#include "io/error.hpp"
#include "io/memory_source.hpp"
#include "io/overlay_source.hpp"

namespace {

using namespace formats::partitions;

io::Ring& shared_ring() {
  static const std::unique_ptr<io::Ring> ring = [] {
    io::RingOptions options;
    options.engine = io::Engine::threads;
    return io::make_ring(options).ring;
  }();
  return *ring;
}

void check(bool holds) {
  if (!holds) std::abort();
}

void check_layout(const Layout& layout) {
  std::uint64_t end = 0;
  for (const io::ByteRange& gap : layout.gaps) {
    check(!gap.empty() && gap.offset >= end && gap.end() <= layout.disk_size);
    end = gap.end();
  }
  for (const Partition& partition : layout.partitions) {
    if (partition.sound) check(partition.range.end() <= layout.disk_size);
    if (!partition.sound) check(!layout.trusted);
  }
}

void fit(io::Source& source, formats::DiskView& disk, const Layout& layout, FitOptions options) {
  const Fit fit = fit_to_disk(disk, layout, options);
  if (!layout.gpt || !layout.trusted || !fit.kept_because.empty()) return;
  io::OverlaySource result(source, fit.patches, options.disk_size);
  formats::DiskView view(shared_ring(), result);
  const Layout after = read_layout(view);
  check_layout(after);
  check(after.kind == TableKind::gpt && after.backup_valid);
  check(fit.primary_left ? !layout.primary_valid : after.primary_valid && after.trusted);
  check(after.id() == layout.id() && after.partitions.size() == layout.partitions.size());
}

// All partitions with new lengths, in each of the ways they can be carried.
void shrink(io::Source& source, formats::DiskView& disk, const Layout& layout, unsigned salt) {
  std::vector<PartitionChange> changes;
  for (const Partition& partition : layout.partitions) {
    PartitionChange change;
    change.number = partition.number;
    change.length = partition.range.length - partition.range.length / (salt + 1) / 2;
    change.carry = static_cast<Carry>((partition.number + salt) % 3);
    change.may_move = (partition.number + salt) % 4 != 0;
    if (change.carry != Carry::swap_header && partition.number % 5 != 4) changes.push_back(change);
  }
  RelayoutOptions options;
  options.windows_mbr = salt == 3;
  options.alignment = salt % 2 == 0 ? io::MiB : layout.sector_size;
  const Relayout plan = plan_relayout(disk, layout, changes, options);
  std::vector<PartitionChange> swaps = changes;
  for (PartitionChange& change : swaps) change.carry = Carry::swap_header;
  try {
    (void)plan_relayout(disk, layout, swaps, options);
  } catch (const io::Error&) {
  }
  const auto result = relaid_source(source, plan);
  for (std::uint64_t at = 0; at < plan.disk_size;) {
    const io::Extent extent = result->extent_at(at);
    check(extent.range.offset == at && !extent.range.empty());
    at = extent.range.end();
    check(at <= plan.disk_size);
  }
  formats::DiskView view(shared_ring(), *result);
  const Layout after = read_layout(view);
  check_layout(after);
  check(after.kind == layout.kind && after.id() == layout.id());
  check(after.kind == TableKind::none || after.trusted);
  check(after.partitions.size() == layout.partitions.size());
  for (std::size_t index = 0; index < after.partitions.size(); ++index) {
    const Placement& place = plan.placements[index];
    check(after.partitions[index].range == io::ByteRange{place.new_start, place.new_length});
    check(place.new_start <= place.old_start && place.new_length <= place.old_length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  io::AlignedMemory memory(std::max<std::size_t>(size, 1));
  std::copy_n(reinterpret_cast<const std::byte*>(data), size, memory.bytes().begin());
  io::MemorySource source("fuzz", std::move(memory), size);
  formats::DiskView disk(shared_ring(), source);
  const Layout layout = read_layout(disk);
  check_layout(layout);
  (void)read_layout(disk, {.disk_size = std::uint64_t{1} << 40, .sector_size = 4096});
  for (const bool grow : {false, true}) {
    for (const std::uint64_t extra : {0U, 512U, 65'536U, 16'777'216U}) {
      try {
        fit(source, disk, layout, {size + extra, grow});
        if (extra < size && size - extra >= layout.least_size()) {
          fit(source, disk, layout, {size - extra, grow});
        }
      } catch (const io::Error&) {
      }
    }
  }
  for (unsigned salt = 0; salt < 4; ++salt) {
    try {
      shrink(source, disk, layout, salt);
    } catch (const io::Error&) {
    }
  }
  return 0;
}
