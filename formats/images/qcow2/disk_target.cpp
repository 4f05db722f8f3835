#include "formats/images/qcow2/disk_target.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <vector>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {

DiskTarget::DiskTarget(io::Ring& ring, const io::File& file, const Header& header, io::Source* now,
                       bool starts_as_zeros)
    : file_(file),
      now_(now),
      size_(header.virtual_size),
      cluster_size_(header.geometry.cluster_size()),
      starts_as_zeros_(starts_as_zeros),
      editor_(file, header, header),
      sequencer_(ring) {}

io::Task<> DiskTarget::write(std::uint64_t offset, io::Buffer buffer) {
  const io::ByteRange range{offset, buffer.bytes.size()};
  try {
    const bool mine = co_await sequencer_.turn(offset);
    if (!mine) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
    co_await write_piece(offset, buffer.bytes);
    sequencer_.pass(range.end());
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> DiskTarget::zero(io::ByteRange range) {
  const std::uint64_t piece = std::max<std::uint64_t>(cluster_size_, 2 * io::MiB);
  try {
    const bool mine = co_await sequencer_.turn(range.offset);
    if (!mine) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
    const std::vector<std::byte> zeros(starts_as_zeros_ ? 0 : std::min(piece, range.length));
    for (std::uint64_t at = range.offset; !starts_as_zeros_ && at < range.end(); at += piece) {
      co_await write_piece(at, std::span(zeros).first(std::min(piece, range.end() - at)));
    }
    sequencer_.pass(range.end());
  } catch (...) {
    abandon();
    throw;
  }
}

// What is behind a part of a cluster stays as it is.
io::Task<> DiskTarget::write_piece(std::uint64_t offset, std::span<const std::byte> content) {
  const std::uint64_t whole = content.size() / cluster_size_ * cluster_size_;
  if (whole > 0) editor_.write({offset}, content.first(whole));
  if (whole == content.size()) co_return;
  const std::uint64_t last = offset + whole;
  const io::AlignedMemory cluster(cluster_size_ + io::buffer_alignment);
  const auto bytes = cluster.bytes().first(cluster_size_);
  std::memset(bytes.data(), 0, bytes.size());
  const std::uint64_t there = std::min(cluster_size_, size_ - last);
  assert(now_ != nullptr || there == content.size() - whole);
  if (now_ != nullptr) (void)co_await now_->read({last, there}, cluster.buffer());
  std::memcpy(bytes.data(), content.data() + whole, content.size() - whole);
  std::memset(bytes.data() + there, 0, bytes.size() - there);
  editor_.write({last}, bytes);
}

io::Task<> DiskTarget::finish() {
  editor_.finish();
  co_return;
}

}  // namespace formats::qcow2
