#include "formats/images/qcow2/chunk_encoder.hpp"

#include <cassert>
#include <cstring>

#include "io/zero_run.hpp"

namespace formats::qcow2 {
namespace {

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::memcmp(a.data(), b.data(), a.size()) == 0;
}

// A stream has to save this much, or decoding it would be for nothing.
std::size_t longest_stream(std::uint64_t cluster_size) { return cluster_size - cluster_size / 32; }

}  // namespace

EncodedCluster ChunkEncoder::classify(std::span<const std::byte> content,
                                      std::span<const std::byte> base) const {
  if (options_.geometry.extended_l2) return classify_subclusters(content, base);
  EncodedCluster cluster;
  if (!base.empty() && equal(content, base)) return cluster;
  if (!io::is_zero(content)) {
    cluster.kind = ClusterKind::plain;
  } else if (!base.empty()) {
    // Version 2 cannot say zero.
    cluster.kind = options_.version == 2 ? ClusterKind::plain : ClusterKind::zero;
  }
  return cluster;
}

EncodedCluster ChunkEncoder::classify_subclusters(std::span<const std::byte> content,
                                                  std::span<const std::byte> base) const {
  const std::uint64_t length = options_.geometry.subcluster_size();
  EncodedCluster cluster;
  for (unsigned index = 0; index < 32; ++index) {
    const auto here = content.subspan(index * length, length);
    if (!base.empty() && equal(here, base.subspan(index * length, length))) continue;
    if (!io::is_zero(here)) {
      cluster.kind = ClusterKind::plain;
      cluster.subclusters |= std::uint64_t{1} << index;
    } else if (!base.empty()) {
      if (cluster.kind == ClusterKind::absent) cluster.kind = ClusterKind::zero;
      cluster.subclusters |= std::uint64_t{1} << (32 + index);
    }
  }
  return cluster;
}

void ChunkEncoder::encode(Chunk& chunk) const {
  const std::uint64_t cluster_size = options_.geometry.cluster_size();
  assert(chunk.content.size() % cluster_size == 0);
  assert(chunk.base.empty() || chunk.base.size() == chunk.content.size());
  const std::size_t count = chunk.content.size() / cluster_size;
  chunk.clusters.resize(count);
  chunk.streams.clear();
  thread_local std::vector<std::byte> room;
  if (codec_) room.resize(longest_stream(cluster_size));
  for (std::size_t index = 0; index < count; ++index) {
    const auto content = chunk.content.subspan(index * cluster_size, cluster_size);
    const auto base =
        chunk.base.empty() ? chunk.base : chunk.base.subspan(index * cluster_size, cluster_size);
    EncodedCluster& cluster = chunk.clusters[index];
    cluster = classify(content, base);
    if (!codec_ || cluster.kind != ClusterKind::plain) continue;
    const auto stream = std::span(room).first(compress(*codec_, content, room));
    if (stream.empty()) continue;
    cluster.kind = ClusterKind::stream;
    cluster.stream_offset = static_cast<std::uint32_t>(chunk.streams.size());
    cluster.stream_bytes = static_cast<std::uint32_t>(stream.size());
    chunk.streams.insert(chunk.streams.end(), stream.begin(), stream.end());
  }
}

}  // namespace formats::qcow2
