// Decides, cluster by cluster, how a chunk of the guest's disk is to be stored, and encodes it.
//
// Pure work on memory, for any thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "formats/images/qcow2/compress.hpp"
#include "formats/images/qcow2/create_options.hpp"

namespace formats::qcow2 {

enum class ClusterKind : std::uint8_t {
  absent,  // what reads as zeros or, with a backing file, as its content
  zero,    // zeros, although the backing file has something else
  plain,
  stream,  // compressed
};

struct EncodedCluster {
  ClusterKind kind = ClusterKind::absent;
  std::uint64_t subclusters = 0;    // of plain and zero ones in an extended L2 table
  std::uint32_t stream_offset = 0;  // in Chunk::streams
  std::uint32_t stream_bytes = 0;
};

struct Chunk {
  std::span<const std::byte> content;  // whole clusters
  std::span<const std::byte> base;     // the backing file's content here; empty: zeros
  std::vector<EncodedCluster> clusters;
  std::vector<std::byte> streams;
};

class ChunkEncoder {
 public:
  ChunkEncoder(const CreateOptions& options, const std::optional<Codec>& codec)
      : options_(options), codec_(codec) {}

  // Fills chunk.clusters and chunk.streams.
  void encode(Chunk& chunk) const;

 private:
  [[nodiscard]] EncodedCluster classify(std::span<const std::byte> content,
                                        std::span<const std::byte> base) const;
  [[nodiscard]] EncodedCluster classify_subclusters(std::span<const std::byte> content,
                                                    std::span<const std::byte> base) const;

  const CreateOptions& options_;
  const std::optional<Codec>& codec_;
};

}  // namespace formats::qcow2
