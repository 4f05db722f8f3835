#include "formats/images/zst/image.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "formats/images/zst/label.hpp"
#include "formats/images/zst/zstd.hpp"
#include "io/error.hpp"
#include "io/xxh64.hpp"

namespace formats::zst {
namespace {

// Decoded frames that are kept for their other parts.
constexpr std::uint64_t most_slot_bytes = 64 * io::MiB;
constexpr std::size_t fewest_slots = 4;
// An extent may end before its kind does; this keeps the search for its end short.
constexpr unsigned most_frames_in_extent = 4096;
// A header says something else in a longer frame; such ones are decoded.
constexpr std::uint64_t longest_look = 64 * io::KiB;
constexpr std::uint32_t largest_cluster = 4 * io::MiB;

// The size of the first frame that is none of zeros: writers use one size for data.
std::uint64_t common_frame_size(const SeekTable& table) {
  for (const Frame& frame : table.frames()) {
    if (frame.stored_bytes <= longest_zero_frame(frame.content_bytes)) continue;
    const bool useful =
        frame.content_bytes <= largest_cluster && std::has_single_bit(frame.content_bytes);
    return useful ? frame.content_bytes : 1;
  }
  return 1;
}

}  // namespace

ZstImage::ZstImage(io::Ring& ring, io::File file, SeekTable table, io::WorkerPool* workers)
    : ring_(ring),
      workers_(workers),
      file_(std::move(file)),
      table_(std::move(table)),
      cluster_size_(common_frame_size(table_)),
      stored_(ring, file_, file_.size(), false),
      kinds_(table_.frames().size(), Kind::unknown),
      slot_waiters_(ring) {
  assert(table_.largest_frame() <= most_frame_bytes);
}

// --- where things are -----------------------------------------------------------------------

std::uint32_t ZstImage::zero_checksum(std::uint32_t size) {
  const auto [place, made] = zero_checksums_.try_emplace(size);
  if (made) place->second = static_cast<std::uint32_t>(io::xxh64_of_zeros(size));
  return place->second;
}

bool ZstImage::find_zero(const Frame& frame) {
  const std::uint64_t longest = std::min(longest_zero_frame(frame.content_bytes), longest_look);
  if (frame.stored_bytes > longest) return false;
  std::vector<std::byte> stored(frame.stored_bytes);
  if (file_.read_at(frame.stored_at, stored) != stored.size() ||
      !is_zero_frame(stored, frame.content_bytes)) {
    return false;
  }
  // Zeros, but perhaps not what was written: then decoding will say so.
  const std::uint32_t right = zero_checksum(frame.content_bytes);
  const auto own = frame_checksum(stored);
  return (!own || *own == right) && (!table_.has_checksums() || frame.checksum == right);
}

bool ZstImage::is_zero(std::size_t index) {
  if (kinds_[index] == Kind::unknown) {
    kinds_[index] = find_zero(table_.frames()[index]) ? Kind::zero : Kind::data;
  }
  return kinds_[index] == Kind::zero;
}

io::Extent ZstImage::extent_at(std::uint64_t offset) {
  if (!last_extent_.range.contains(offset)) last_extent_ = find_extent(offset);
  return {io::range_between(offset, last_extent_.range.end()), last_extent_.kind};
}

// Puts frames of one kind together.
io::Extent ZstImage::find_extent(std::uint64_t offset) {
  const auto& frames = table_.frames();
  std::size_t index = table_.frame_at(offset);
  const bool zero = is_zero(index);
  io::Extent extent{{offset, 0}, zero ? io::ExtentKind::hole : io::ExtentKind::data};
  const std::size_t limit = std::min<std::size_t>(frames.size(), index + most_frames_in_extent);
  for (; index < limit && is_zero(index) == zero; ++index) {
    const std::uint64_t end = frames[index].content_at + frames[index].content_bytes;
    extent.range = io::range_between(offset, end);
  }
  return extent;
}

Placement ZstImage::placement_at(std::uint64_t offset) {
  const io::Extent extent = extent_at(offset);
  Placement placement;
  placement.range = extent.range;
  placement.present = true;
  placement.zero = extent.reads_as_zero();
  placement.data = placement.compressed = !placement.zero;
  return placement;
}

// --- reading --------------------------------------------------------------------------------

io::Task<std::size_t> ZstImage::read(io::ByteRange range, io::Buffer buffer) {
  assert(range.end() <= table_.content_size());
  const auto& frames = table_.frames();
  std::size_t index = range.empty() ? 0 : table_.frame_at(range.offset);
  for (std::uint64_t done = 0; done < range.length; ++index) {
    const Frame& frame = frames[index];
    const std::uint64_t begin = range.offset + done - frame.content_at;
    const std::uint64_t length =
        std::min<std::uint64_t>(range.length - done, frame.content_bytes - begin);
    const auto out = buffer.bytes.subspan(done, length);
    if (is_zero(index)) {
      std::memset(out.data(), 0, out.size());
    } else if (length == frame.content_bytes) {
      co_await read_whole(frame, out);
    } else {
      co_await read_part(index, begin, out);
    }
    done += length;
  }
  co_return range.length;
}

io::Task<> ZstImage::read_whole(const Frame& frame, std::span<std::byte> out) {
  const auto memory = std::make_unique_for_overwrite<std::byte[]>(frame.stored_bytes);
  const io::Buffer stored{{memory.get(), frame.stored_bytes}};
  const io::ByteRange place{frame.stored_at, frame.stored_bytes};
  co_await stored_.read(place, stored);
  if (workers_ == nullptr) {
    decode(frame, stored.bytes, out);
    co_return;
  }
  auto work = [this, &frame, stored, out] { decode(frame, stored.bytes, out); };
  co_await workers_->run(ring_, std::move(work));
}

io::Task<> ZstImage::read_part(std::size_t index, std::uint64_t begin, std::span<std::byte> out) {
  const auto [place, made] = slots_.try_emplace(index);
  if (made) place->second = std::make_shared<Slot>();
  const SharedSlot slot = place->second;
  if (made) {
    slot_order_.push_back(index);
    forget_old_slots();
    co_await fill_slot(index, slot);
  }
  while (!slot->ready && !slot->failed) co_await slot_waiters_.wait();
  if (slot->failed) fail(table_.frames()[index], "cannot be read");
  std::memcpy(out.data(), slot->content.data() + begin, out.size());
}

io::Task<> ZstImage::fill_slot(std::size_t index, SharedSlot slot) {
  const Frame& frame = table_.frames()[index];
  try {
    slot->content.resize(frame.content_bytes);
    co_await read_whole(frame, slot->content);
    slot->ready = true;
  } catch (...) {
    slot->failed = true;
    slots_.erase(index);
    slot_order_.remove(index);
    slot_waiters_.wake_all();
    throw;
  }
  slot_waiters_.wake_all();
}

// Those that lanes wait for live on in their hands.
void ZstImage::forget_old_slots() {
  std::uint64_t bytes = 0;
  for (const std::size_t index : slot_order_) bytes += table_.frames()[index].content_bytes;
  while (slot_order_.size() > fewest_slots && bytes > most_slot_bytes) {
    const std::size_t oldest = slot_order_.front();
    bytes -= table_.frames()[oldest].content_bytes;
    slot_order_.pop_front();
    slots_.erase(oldest);
  }
}

// On any thread: touches nothing that changes.
void ZstImage::decode(const Frame& frame, std::span<const std::byte> stored,
                      std::span<std::byte> out) const {
  const std::string fault = decode_frame(stored, out);
  if (!fault.empty()) fail(frame, fault);
  if (!table_.has_checksums()) return;
  // A frame's own checksum was compared with its content already, and is the same number.
  const auto own = frame_checksum(stored);
  if ((own ? *own : static_cast<std::uint32_t>(io::xxh64(out))) != frame.checksum) {
    fail(frame, "has another checksum than the seek table says");
  }
}

void ZstImage::fail(const Frame& frame, const std::string& fault) const {
  throw io::Error::format(
      name(), frame.stored_at,
      fmt::format("the zstd frame of image offset {} {}", frame.content_at, fault));
}

// --- opening --------------------------------------------------------------------------------

namespace {

struct Index {
  std::optional<SeekTable> table;
  std::optional<std::uint64_t> content_size;
};

Index read_index(const io::File& file) {
  Index index;
  index.table = SeekTable::read(file);
  if (!index.table) return index;
  const std::uint64_t size = index.table->content_size();
  if (const std::uint64_t labelled = read_label(file).value_or(size); labelled != size) {
    throw io::Error::format(
        file.path(), 0,
        fmt::format("says that it holds {} bytes, but its seek table has {}", labelled, size));
  }
  index.content_size = size;
  return index;
}

}  // namespace

std::optional<std::uint64_t> stated_content_size(const io::File& file) {
  return read_index(file).content_size;
}

std::unique_ptr<ZstImage> open_seekable(io::Ring& ring, io::File& file, io::WorkerPool* workers) {
  Index index = read_index(file);
  if (!index.table || index.table->largest_frame() > ZstImage::most_frame_bytes) return nullptr;
  return std::make_unique<ZstImage>(ring, std::move(file), std::move(*index.table), workers);
}

}  // namespace formats::zst
