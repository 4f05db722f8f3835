#include "formats/images/qcow2/writer.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include <fcntl.h>

#include "formats/images/qcow2/size_estimate.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t largest_file = (std::uint64_t{1} << 63) - 1;
constexpr std::uint64_t direct_grain = 4096;
constexpr std::uint64_t set_aside_at_once = 16 * io::MiB;  // whole clusters of any size

io::FileTargetOptions file_options(const WriterOptions& options) {
  io::FileTargetOptions file;
  // Requests side by side must not share a sector: small clusters go through the page cache.
  file.direct = options.codec || options.create.geometry.cluster_size() >= direct_grain;
  file.first_zero_method = io::ZeroMethod::write;
  file.grows = true;
  return file;
}

}  // namespace

Qcow2Target::Qcow2Target(io::Ring& ring, io::File& file, std::optional<std::uint64_t> guest_size,
                         WriterOptions options)
    : ring_(ring),
      file_(&file),
      guest_size_(guest_size),
      options_(std::move(options)),
      cluster_size_(options_.create.geometry.cluster_size()),
      file_target_(std::in_place, ring, file, largest_file, file_options(options_)),
      output_(*file_target_),
      log_(output_),
      layout_(options_.create, options_.codec.has_value(), log_),
      encoder_(options_.create, options_.codec),
      sequencer_(ring),
      zeros_(cluster_size_) {
  const Preallocation preallocation = options_.create.preallocation;
  if (preallocation == Preallocation::falloc || preallocation == Preallocation::full) {
    const std::uint64_t bytes = fully_allocated_bytes(options_.create, guest_size.value());
    if (fallocate(file.fd(), 0, 0, static_cast<off_t>(bytes)) != 0) {
      throw io::Error::system("setting space aside", file.path(), errno, io::ByteRange{0, bytes});
    }
  }
  begin();
}

Qcow2Target::Qcow2Target(io::Ring& ring, io::Target& disk, std::optional<std::uint64_t> guest_size,
                         WriterOptions options)
    : ring_(ring),
      guest_size_(guest_size),
      options_(std::move(options)),
      cluster_size_(options_.create.geometry.cluster_size()),
      disk_target_(std::in_place, disk),
      output_(*disk_target_),
      log_(output_),
      layout_(options_.create, options_.codec.has_value(), log_),
      encoder_(options_.create, options_.codec),
      sequencer_(ring),
      zeros_(cluster_size_) {
  assert(options_.create.preallocation == Preallocation::off);
  io::run_task(ring_, output_.write(0, zeros_.buffer().first(cluster_size_)));
  io::run_task(ring_, output_.flush());
  begin();
}

void Qcow2Target::begin() {
  assert(fault_of(options_.create, guest_size_.value_or(0)).empty());
  assert(!options_.codec || options_.codec->type == options_.create.compression);
  assert(!options_.codec || options_.create.preallocation == Preallocation::off);
  if (options_.backing != nullptr) {
    // Something that is not zero, so that zeros are not left out.
    std::vector<std::byte> other(cluster_size_, std::byte{1});
    zero_chunk_.content = zeros_.bytes().first(cluster_size_);
    zero_chunk_.base = other;
    encoder_.encode(zero_chunk_);
    zero_chunk_.base = {};
  }
}

io::Task<> Qcow2Target::take_turn(std::uint64_t offset) {
  const bool mine = co_await sequencer_.turn(offset);
  if (!mine) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
}

io::Task<> Qcow2Target::write(std::uint64_t offset, io::Buffer buffer) {
  assert(offset % cluster_size_ == 0);
  try {
    co_await write_chunk(offset, buffer);
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> Qcow2Target::write_chunk(std::uint64_t offset, io::Buffer buffer) {
  const io::ByteRange range{offset, buffer.bytes.size()};
  assert(!guest_size_ || range.end() == *guest_size_ || range.length % cluster_size_ == 0);
  // The last cluster of the disk is filled up with zeros.
  std::optional<io::AlignedMemory> padded;
  if (range.length % cluster_size_ != 0) {
    padded.emplace(io::align_up(range.length, cluster_size_));
    std::memcpy(padded->bytes().data(), buffer.bytes.data(), range.length);
    buffer = padded->buffer().first(io::align_up(range.length, cluster_size_));
  }
  Chunk chunk;
  chunk.content = buffer.bytes;
  std::optional<io::AlignedMemory> base;
  if (options_.backing != nullptr && !backing_is_zero(range)) {
    base.emplace(buffer.bytes.size());
    co_await read_backing(range, chunk, *base);
  }
  if (options_.codec) {
    std::function<void()> work = [this, &chunk] {
      if (!sequencer_.abandoned()) encoder_.encode(chunk);
    };
    co_await options_.workers->run(ring_, std::move(work));
  } else {
    encoder_.encode(chunk);
  }
  co_await take_turn(offset);
  lay_down(offset, chunk, buffer);
  Output output = take_output();
  sequencer_.pass(range.end());
  co_await write_out(std::move(output));
}

Qcow2Target::Output Qcow2Target::take_output() {
  Output output;
  output.writes = layout_.take_writes();
  output.zeros = std::exchange(reserved_, {});
  return output;
}

io::Task<> Qcow2Target::write_out(Output output) {
  for (const HostWrite& write : output.writes) co_await output_.write(write.offset, write.buffer);
  for (const io::ByteRange& range : output.zeros) co_await output_.zero(range);
  co_await log_.write_full_pieces();
}

void Qcow2Target::lay_down(std::uint64_t offset, const Chunk& chunk, io::Buffer content) {
  const std::uint64_t first = offset / cluster_size_;
  for (std::size_t index = 0; index < chunk.clusters.size(); ++index) {
    const EncodedCluster& cluster = chunk.clusters[index];
    switch (cluster.kind) {
      case ClusterKind::absent:
        if (options_.create.preallocation != Preallocation::off) reserve(first + index);
        break;
      case ClusterKind::zero:
        layout_.store_zero(first + index, cluster.subclusters);
        break;
      case ClusterKind::plain:
        layout_.store_plain(first + index, content.subspan(index * cluster_size_, cluster_size_),
                            cluster.subclusters);
        break;
      case ClusterKind::stream:
        layout_.store_stream(
            first + index,
            std::span(chunk.streams).subspan(cluster.stream_offset, cluster.stream_bytes));
        break;
    }
  }
}

// --- zeros ----------------------------------------------------------------------------------

io::Task<> Qcow2Target::zero(io::ByteRange range) {
  assert(range.offset % cluster_size_ == 0);
  try {
    co_await write_zeros(range);
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> Qcow2Target::write_zeros(io::ByteRange range) {
  co_await take_turn(range.offset);
  if (options_.backing != nullptr) {
    lay_down_zeros_over_backing(range);
  } else if (options_.create.preallocation != Preallocation::off) {
    co_await set_aside(range);
  }
  Output output = take_output();
  sequencer_.pass(range.end());
  co_await write_out(std::move(output));
}

// The tables of a whole disk would not fit into memory, so they are written as they become full.
io::Task<> Qcow2Target::set_aside(io::ByteRange range) {
  for (std::uint64_t at = range.offset; at < range.end(); at += cluster_size_) {
    reserve(at / cluster_size_);
    if (at % set_aside_at_once != 0) continue;
    if (sequencer_.abandoned()) throw io::Error(io::ErrorKind::cancelled, name(), "stopped");
    Output output = take_output();
    co_await write_out(std::move(output));
  }
}

void Qcow2Target::lay_down_zeros_over_backing(io::ByteRange range) {
  const std::uint64_t end = std::min(range.end(), *options_.backing->size());
  std::uint64_t next_cluster = range.offset / cluster_size_;
  for (std::uint64_t at = range.offset; at < end;) {
    const io::Extent extent = options_.backing->extent_at(at);
    const std::uint64_t extent_end = std::min(extent.range.end(), end);
    if (!extent.reads_as_zero()) {
      next_cluster = std::max(next_cluster, at / cluster_size_);
      for (; next_cluster * cluster_size_ < extent_end; ++next_cluster) {
        lay_down_one_zero(next_cluster);
      }
    }
    at = extent_end;
  }
}

void Qcow2Target::lay_down_one_zero(std::uint64_t cluster) {
  const io::Buffer zeros = zeros_.buffer().first(cluster_size_);
  lay_down(cluster * cluster_size_, zero_chunk_, zeros);
}

void Qcow2Target::reserve(std::uint64_t cluster) {
  const io::ByteRange place{layout_.reserve(cluster), cluster_size_};
  if (options_.create.preallocation != Preallocation::full) return;
  if (!reserved_.empty() && reserved_.back().end() == place.offset) {
    reserved_.back().length += place.length;
  } else {
    reserved_.push_back(place);
  }
}

// --- the backing file -----------------------------------------------------------------------

bool Qcow2Target::backing_is_zero(io::ByteRange range) {
  range = io::intersection(range, {0, *options_.backing->size()});
  while (!range.empty()) {
    const io::Extent extent = options_.backing->extent_at(range.offset);
    if (!extent.reads_as_zero()) return false;
    range = io::range_between(extent.range.end(), range.end());
  }
  return true;
}

io::Task<> Qcow2Target::read_backing(io::ByteRange range, Chunk& chunk, io::AlignedMemory& memory) {
  const io::ByteRange there = io::intersection(range, {0, *options_.backing->size()});
  co_await options_.backing->read(there, memory.buffer());
  const auto rest = memory.bytes().subspan(there.length);
  std::memset(rest.data(), 0, rest.size());
  chunk.base = memory.bytes().first(chunk.content.size());
}

// --- the end --------------------------------------------------------------------------------

io::Task<> Qcow2Target::finish() {
  const std::uint64_t size = sequencer_.position();
  assert(!guest_size_ || size == *guest_size_);
  if (const std::string fault = fault_of(options_.create, size); !fault.empty()) {
    throw io::Error(io::ErrorKind::unsupported, name(), fault);
  }
  const std::vector<std::byte> header = layout_.finish(size);
  Output output = take_output();
  co_await write_out(std::move(output));
  co_await log_.finish();
  io::AlignedMemory first(header.size());
  std::copy(header.begin(), header.end(), first.bytes().begin());
  // A disk has no other name under which an image could come to be.
  if (file_ == nullptr) co_await output_.flush();
  co_await output_.write(0, first.buffer().first(header.size()));
  if (file_ != nullptr) file_->truncate(layout_.end());
}

}  // namespace formats::qcow2
