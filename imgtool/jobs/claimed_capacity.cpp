#include "imgtool/jobs/claimed_capacity.hpp"

#include <algorithm>
#include <unordered_set>

namespace imgtool {
namespace {

// Fewer bad chunks than this are no pattern.
constexpr std::size_t least_pattern = 4;
constexpr std::uint64_t smallest_medium = 16 * io::MiB;

}  // namespace

std::optional<std::uint64_t> size_by_aliases(const std::vector<Alias>& aliases,
                                             std::size_t samples) {
  std::uint64_t shortest = 0;
  for (const Alias& alias : aliases) {
    if (alias.reads_as <= alias.at) continue;  // what came later replaced what came before
    const std::uint64_t shift = alias.reads_as - alias.at;
    shortest = shortest == 0 ? shift : std::min(shortest, shift);
  }
  if (shortest == 0) return std::nullopt;
  const auto explained = static_cast<std::size_t>(
      std::count_if(aliases.begin(), aliases.end(), [shortest](const Alias& alias) {
        return alias.reads_as > alias.at && (alias.reads_as - alias.at) % shortest == 0;
      }));
  if (explained * 4 < samples * 3) return std::nullopt;
  return shortest;
}

std::optional<std::uint64_t> size_by_pattern(const io::ChunkLedger& ledger, io::ByteRange range,
                                             const std::vector<io::ByteRange>& bad) {
  std::unordered_set<std::uint64_t> bad_chunks;
  for (const io::ByteRange& chunk : bad) bad_chunks.insert(ledger.index_of(chunk.offset));
  if (bad_chunks.empty() || range.empty()) return std::nullopt;

  std::size_t bad_data = 0;
  std::size_t good_data = 0;
  std::optional<std::uint64_t> first_bad;
  std::optional<std::uint64_t> last_bad;
  std::optional<std::uint64_t> first_good;
  std::optional<std::uint64_t> last_good;
  const std::uint64_t end = ledger.index_of(range.end() - 1) + 1;
  for (std::uint64_t chunk = ledger.index_of(range.offset); chunk < end; ++chunk) {
    if (ledger.state(chunk) != io::ChunkLedger::State::digest) continue;
    const bool is_bad = bad_chunks.contains(chunk);
    auto& first = is_bad ? first_bad : first_good;
    auto& last = is_bad ? last_bad : last_good;
    if (!first) first = chunk;
    last = chunk;
    ++(is_bad ? bad_data : good_data);
  }
  if (bad_data < least_pattern || good_data == 0) return std::nullopt;
  if (*last_good < *first_bad) return *first_bad * ledger.chunk_size();
  const bool most_replaced = *last_bad < *first_good && bad_data >= good_data;
  if (most_replaced) return range.end() - *first_good * ledger.chunk_size();
  return std::nullopt;
}

std::vector<std::uint64_t> usual_real_sizes(std::uint64_t claimed) {
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t size = smallest_medium; size < claimed && size != 0; size *= 2) {
    sizes.push_back(size);
  }
  for (std::uint64_t size = claimed / 2; size >= smallest_medium; size /= 2) sizes.push_back(size);
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

}  // namespace imgtool
