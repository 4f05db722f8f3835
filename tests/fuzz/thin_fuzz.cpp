// A disk of a few sectors, taken for the metadata of a thin pool: what it calls free is in the map
// of no device, and what a device has alone is in the map of no other. See file_system_fuzz.hpp.
#include <algorithm>
#include <vector>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ranges.hpp"
#include "formats/disks/lvm/thin_pool.hpp"
#include "tests/fuzz/file_system_fuzz.hpp"

namespace formats::filesystems {

constexpr std::uint64_t pool_bytes = 64 * io::MiB;
constexpr std::uint64_t volume_bytes = 16 * io::MiB;
constexpr std::uint64_t most_device_numbers = 8;

// What its volume group would say, for the pool to be read at all.
ThinPoolParts parts_for(DiskView& view) {
  const auto super = view.read(0, 512);
  ThinPoolParts parts;
  parts.data.size = pool_bytes;
  parts.chunk_size = std::uint64_t{load_little_endian<std::uint32_t>(super, 336)} * 512;
  parts.transaction = load_little_endian<std::uint64_t>(super, 48);
  return parts;
}

struct Use {
  io::ByteRange range;
  bool own;
};

void check_map(const ThinMap& map, std::vector<Use>& uses) {
  std::uint64_t end = 0;
  for (const ThinRun& run : map.runs()) {
    must_hold(run.length() > 0 && run.offset >= end && run.end() <= volume_bytes);
    must_hold(run.place <= pool_bytes && run.length() <= pool_bytes - run.place);
    uses.push_back({{run.place, run.length()}, run.own()});
    end = run.end();
  }
  const io::ByteRange all{0, volume_bytes};
  must_hold(map.pieces_of(all, false).size() == map.runs().size());
  must_hold(map.size() <= volume_bytes);
}

// The ranges of chunks are aligned and of one pool, so neighbours show all that overlap.
void check_uses(std::vector<Use> uses, const std::vector<io::ByteRange>& free) {
  for (const Use& use : uses) must_hold(!overlaps(free, use.range));
  std::sort(uses.begin(), uses.end(),
            [](const Use& a, const Use& b) { return a.range.offset < b.range.offset; });
  std::uint64_t end = 0, own_end = 0;
  for (const Use& use : uses) {
    must_hold(use.range.offset >= own_end);
    must_hold(!use.own || use.range.offset >= end);
    end = std::max(end, use.range.end());
    if (use.own) own_end = std::max(own_end, use.range.end());
  }
}

void fuzz_pool(DiskView& view) {
  ThinPool pool(view, parts_for(view));
  const auto free = pool.free();
  std::uint64_t end = 0;
  for (const io::ByteRange& range : free) {
    must_hold(!range.empty() && range.offset >= end && range.end() <= pool_bytes);
    end = range.end();
  }
  std::vector<Use> uses;
  for (std::uint64_t device = 0; device < most_device_numbers; ++device) {
    std::uint64_t budget = 4096;
    try {
      check_map(pool.map_of(device, volume_bytes, budget), uses);
    } catch (const Doubt&) {
    }
  }
  check_uses(std::move(uses), free);
}

}  // namespace formats::filesystems

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace formats::filesystems;
  SparseDisk disk = disk_from(std::as_bytes(std::span(data, size)));
  formats::DiskView view(shared_ring(), disk);
  try {
    fuzz_pool(view);
  } catch (const Doubt&) {
  } catch (const io::Error&) {
  }
  return 0;
}
