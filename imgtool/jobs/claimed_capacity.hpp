// Tells a disk that holds less than it claims from one that is damaged in places.
//
// Counterfeit media either wrap (an address beyond the real size is taken modulo that size, so
// later writes replace earlier ones) or lose every write beyond it. Each leaves a pattern in what
// a full verification finds.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/chunk_ledger.hpp"

namespace imgtool {

// A bad chunk that reads as another chunk of the image does; both in bytes.
struct Alias {
  std::uint64_t at = 0;
  std::uint64_t reads_as = 0;
};

// The real size in bytes that explains nearly all of `aliases`; nothing when none does, or there
// are none. Exact where the real size is a multiple of the chunk size, `samples` (how many bad
// chunks were looked at) at least 1.
[[nodiscard]] std::optional<std::uint64_t> size_by_aliases(const std::vector<Alias>& aliases,
                                                           std::size_t samples);

// About the real size, by where the bad chunks of `range` lie: all data from some offset on is
// bad (lost), or all data up to some offset is (replaced by what came later). `bad`: ascending
// chunks that a verification of the whole `range` found. Chunks of zeros prove nothing.
[[nodiscard]] std::optional<std::uint64_t> size_by_pattern(const io::ChunkLedger& ledger,
                                                           io::ByteRange range,
                                                           const std::vector<io::ByteRange>& bad);

// The real sizes that counterfeit media are usually made of, below `claimed` bytes: powers of two,
// and the claimed size halved again and again. Ascending.
[[nodiscard]] std::vector<std::uint64_t> usual_real_sizes(std::uint64_t claimed);

}  // namespace imgtool
