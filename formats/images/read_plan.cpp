#include "formats/images/read_plan.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <memory>
#include <utility>

#include "io/task_group.hpp"

namespace formats {
namespace {

// For one read: more lanes than that run side by side anyway.
constexpr std::size_t most_parts_at_once = 4;
// Packed blocks this close to each other are read with one request.
constexpr std::uint64_t largest_gap = 16 * io::KiB;
constexpr std::uint64_t largest_piece = io::MiB;

}  // namespace

void ReadPlan::add(io::Source& source, io::ByteRange range, io::Buffer buffer) {
  Part part;
  part.source = &source;
  part.range = range;
  part.buffer = buffer;
  parts_.push_back(std::move(part));
}

void ReadPlan::add_packed(io::Source& source, PackedBlock block) {
  assert(packed_source_ == nullptr || packed_source_ == &source);
  packed_source_ = &source;
  packed_.push_back(block);
}

// Blocks that lie close to each other become one part.
void ReadPlan::gather_packed() {
  std::sort(packed_.begin(), packed_.end(), [](const PackedBlock& a, const PackedBlock& b) {
    return a.place.offset < b.place.offset;
  });
  for (auto first = packed_.begin(); first != packed_.end();) {
    Part part;
    part.source = packed_source_;
    part.range = first->place;
    auto last = first + 1;
    for (; last != packed_.end(); ++last) {
      const std::uint64_t begin = last->place.offset;
      const std::uint64_t end = std::max(part.range.end(), last->place.end());
      if (begin > part.range.end() + largest_gap || end - part.range.offset > largest_piece) break;
      part.range = io::range_between(part.range.offset, end);
    }
    part.blocks.assign(first, last);
    parts_.push_back(std::move(part));
    first = last;
  }
  packed_.clear();
}

io::Task<> ReadPlan::carry_out(io::Ring& ring, io::WorkerPool* workers, const Decode& decode) {
  gather_packed();
  const Way way{ring, workers, decode};
  if (parts_.size() == 1) {
    co_await read_part(way, parts_.front());
  } else if (!parts_.empty()) {
    io::TaskGroup group(ring);
    const std::size_t count = std::min(parts_.size(), most_parts_at_once);
    for (std::size_t i = 0; i < count; ++i) group.spawn(work(way));
    co_await group.join();
  }
}

io::Task<> ReadPlan::work(const Way& way) {
  while (next_ < parts_.size()) {
    const Part& part = parts_[next_++];
    co_await read_part(way, part);
  }
}

io::Task<> ReadPlan::read_part(const Way& way, const Part& part) {
  if (!part.blocks.empty()) {
    co_await read_packed(way, part);
    co_return;
  }
  const io::ByteRange there = io::intersection(part.range, {0, *part.source->size()});
  if (!there.empty()) co_await part.source->read(there, part.buffer.first(there.length));
  const auto rest = part.buffer.bytes.subspan(there.length);
  if (!rest.empty()) std::memset(rest.data(), 0, rest.size());
}

io::Task<> ReadPlan::read_packed(const Way& way, const Part& part) {
  const io::ByteRange there = io::intersection(part.range, {0, *part.source->size()});
  const auto memory = std::make_unique_for_overwrite<std::byte[]>(there.length);
  const io::Buffer streams{{memory.get(), there.length}};
  co_await part.source->read(there, streams);
  if (way.workers == nullptr) {
    decode_all(way.decode, part, streams.bytes);
    co_return;
  }
  auto task = [&way, &part, streams] { decode_all(way.decode, part, streams.bytes); };
  co_await way.workers->run(way.ring, std::move(task));
}

// On any thread: touches nothing but the part and what never changes.
void ReadPlan::decode_all(const Decode& decode, const Part& part,
                          std::span<const std::byte> streams) {
  for (const PackedBlock& block : part.blocks) {
    const std::uint64_t begin = block.place.offset - part.range.offset;
    const std::uint64_t bytes = std::min(block.place.length, streams.size() - begin);
    decode(block, streams.subspan(begin, bytes));
  }
}

}  // namespace formats
