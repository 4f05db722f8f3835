#include "io/chunk_ledger.hpp"

#include <algorithm>
#include <cassert>

#include "io/digest.hpp"
#include "io/zero_run.hpp"

namespace io {
namespace {

constexpr std::uint64_t unknown_entry = 0;
constexpr std::uint64_t zeros_entry = 1;

// The two values that mean something else are told apart from their neighbours only.
std::uint64_t entry_of(std::span<const std::byte> content) {
  if (is_zero(content)) return zeros_entry;
  const std::uint64_t digest = xxh3(content);
  return digest > zeros_entry ? digest : digest + 2;
}

}  // namespace

ChunkLedger::State ChunkLedger::state(std::uint64_t chunk) const {
  if (chunk >= entries_.size() || entries_[chunk] == unknown_entry) return State::unknown;
  return entries_[chunk] == zeros_entry ? State::zeros : State::digest;
}

std::uint64_t& ChunkLedger::entry(std::uint64_t chunk) {
  if (chunk >= entries_.size()) entries_.resize(chunk + 1, unknown_entry);
  return entries_[chunk];
}

void ChunkLedger::record(std::uint64_t chunk, std::span<const std::byte> content) {
  entry(chunk) = entry_of(content);
}

void ChunkLedger::record_zeros(ByteRange range) {
  assert(range.offset % chunk_size_ == 0);
  if (range.empty()) return;
  const std::uint64_t last = index_of(range.end() - 1);
  entry(last) = zeros_entry;
  for (std::uint64_t chunk = index_of(range.offset); chunk < last; ++chunk) {
    entries_[chunk] = zeros_entry;
  }
}

bool ChunkLedger::matches(std::uint64_t chunk, std::span<const std::byte> content) const {
  assert(state(chunk) != State::unknown);
  if (entries_[chunk] == zeros_entry) return is_zero(content);
  return entries_[chunk] == entry_of(content);
}

std::optional<std::uint64_t> ChunkLedger::last_with(std::span<const std::byte> content) const {
  const std::uint64_t wanted = entry_of(content);
  if (wanted == zeros_entry) return std::nullopt;
  const auto found = std::find(entries_.rbegin(), entries_.rend(), wanted);
  if (found == entries_.rend()) return std::nullopt;
  return static_cast<std::uint64_t>(entries_.rend() - found) - 1;
}

}  // namespace io
