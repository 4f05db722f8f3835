#include "formats/disks/filesystems/exfat/allocation.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::exfat {
namespace {

// 64 MiB of marks. At the usual 128 KiB a cluster, a volume of 64 TiB.
constexpr std::uint32_t most_clusters = 1u << 29;
constexpr std::uint32_t last_of_chain = 0xffffffff;

}  // namespace

Allocations::Allocations(DiskView& view, const Volume& volume)
    : volume_(volume), table_(view.part(volume.table)) {
  if (volume.clusters > most_clusters) {
    throw Doubt(Reason::unsupported,
                fmt::format("has {} clusters, more than imgtool looks at", volume.clusters));
  }
  claimed_.resize(volume.clusters + std::size_t{2});
}

void Allocations::follow(const Allocation& allocation,
                         const std::function<void(ClusterRun)>& take) {
  const std::uint64_t cluster_size = volume_.cluster_size;
  std::uint64_t left = volume_.clusters;
  if (allocation.length) {
    if (*allocation.length == 0) return;
    left = (*allocation.length - 1) / cluster_size + 1;
  }
  if (!volume_.has(allocation.first, allocation.contiguous ? left : 1) || left > volume_.clusters) {
    throw Doubt(Reason::damaged,
                fmt::format("a file begins in cluster {} and is too long for that or the volume",
                            allocation.first),
                remedy_check);
  }
  if (allocation.contiguous) {
    const ClusterRun run{allocation.first, static_cast<std::uint32_t>(left)};
    claim(run);
    take(run);
    return;
  }
  ClusterRun run{allocation.first, 0};
  for (std::uint32_t cluster = allocation.first;;) {
    claim({cluster, 1});
    ++run.count;
    if (--left == 0) break;
    const std::uint32_t following = next(cluster);
    if (following == last_of_chain && !allocation.length) break;
    if (!volume_.has(following)) {
      throw Doubt(Reason::damaged,
                  fmt::format("cluster {} of a file is followed by no other one", cluster),
                  remedy_check);
    }
    if (following != cluster + 1) {
      take(run);
      run = {following, 0};
    }
    cluster = following;
  }
  take(run);
}

std::vector<ClusterRun> Allocations::runs(const Allocation& allocation, std::uint64_t longest) {
  std::vector<ClusterRun> list;
  std::uint64_t clusters = 0;
  follow(allocation, [&](ClusterRun run) {
    clusters += run.count;
    if ((clusters - 1) * volume_.cluster_size >= longest) {
      throw Doubt(Reason::damaged, "a directory or the bitmap is longer than it can be",
                  remedy_check);
    }
    list.push_back(run);
  });
  return list;
}

std::uint32_t Allocations::next(std::uint32_t cluster) {
  return load_little_endian<std::uint32_t>(table_.read(std::uint64_t{cluster} * 4, 4), 0);
}

void Allocations::claim(ClusterRun run) {
  for (std::uint32_t i = 0; i < run.count; ++i) {
    if (claimed_[run.first + i]) {
      throw Doubt(Reason::damaged, fmt::format("two files use cluster {}", run.first + i),
                  remedy_check);
    }
    claimed_[run.first + i] = true;
  }
}

FreeClusters read_bitmap(DiskView& view, const Volume& volume,
                         const std::vector<ClusterRun>& runs) {
  constexpr std::uint64_t piece = io::MiB;
  // FreeClusters counts from 0, cluster numbers from 2.
  FreeClusters free(volume.first_cluster, volume.cluster_size);
  std::uint64_t done = 0;
  for (const ClusterRun& run : runs) {
    const std::uint64_t begin = volume.offset_of(run.first);
    const std::uint64_t end = begin + std::uint64_t{run.count} * volume.cluster_size;
    for (std::uint64_t at = begin; at < end && done < volume.clusters; at += piece) {
      const std::uint64_t wanted = (volume.clusters - done + 7) / 8;
      const std::uint64_t length = std::min({piece, end - at, wanted});
      const std::uint64_t bits = std::min(length * 8, volume.clusters - done);
      free.add_clear_bits(view.read(at, length), done, bits);
      done += bits;
    }
  }
  if (done < volume.clusters) throw Doubt(Reason::damaged, "its bitmap is too short", remedy_check);
  return free;
}

}  // namespace formats::filesystems::exfat
