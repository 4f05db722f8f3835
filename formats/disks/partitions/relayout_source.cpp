#include <algorithm>
#include <cassert>
#include <utility>

#include "formats/disks/partitions/relayout.hpp"
#include "io/buffer_pool.hpp"

namespace formats::partitions {
namespace {

// Ranges of a source in other places, and nothing between them.
class CarriedSource final : public io::Source {
 public:
  CarriedSource(io::Source& old_disk, std::vector<CarriedRange> carried, std::uint64_t size)
      : old_(old_disk), carried_(std::move(carried)), size_(size) {}

  [[nodiscard]] const std::string& name() const override { return old_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }

  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    const auto next = first_ending_behind(offset);
    if (next == carried_.end()) {
      return {io::range_between(offset, size_), io::ExtentKind::hole};
    }
    if (offset < next->to) return {io::range_between(offset, next->to), io::ExtentKind::hole};
    const std::uint64_t from = next->from.offset + (offset - next->to);
    const io::Extent extent = old_.extent_at(from);
    const std::uint64_t end = std::min(extent.range.end(), next->from.end());
    return {{offset, end - from}, extent.kind};
  }

  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    auto next = first_ending_behind(range.offset);
    for (std::uint64_t at = range.offset; at < range.end();) {
      const auto place = buffer.bytes.subspan(at - range.offset);
      const std::uint64_t begin = next == carried_.end() ? range.end() : next->to;
      if (at < begin) {
        const std::uint64_t length = std::min(begin, range.end()) - at;
        std::fill_n(place.begin(), length, std::byte{0});
        at += length;
        continue;
      }
      const io::ByteRange wanted =
          io::intersection({next->from.offset + (at - next->to), range.end() - at}, next->from);
      const io::Buffer piece{place, buffer.index};
      co_await read_piece(wanted, piece);
      at += wanted.length;
      ++next;
    }
    co_return range.length;
  }

 private:
  using Place = std::vector<CarriedRange>::const_iterator;

  [[nodiscard]] Place first_ending_behind(std::uint64_t offset) const {
    return std::partition_point(carried_.begin(), carried_.end(), [&](const CarriedRange& each) {
      return each.to + each.from.length <= offset;
    });
  }

  // Straight into its place, unless that is none for a source to read to.
  io::Task<> read_piece(io::ByteRange wanted, io::Buffer place) {
    const auto address = reinterpret_cast<std::uintptr_t>(place.bytes.data());
    const std::uint64_t space = io::align_up(wanted.length, io::buffer_alignment);
    if (address % io::buffer_alignment == 0 && space <= place.bytes.size()) {
      (void)co_await old_.read(wanted, place);
      co_return;
    }
    const io::AlignedMemory memory(wanted.length);
    (void)co_await old_.read(wanted, memory.buffer());
    std::copy_n(memory.bytes().begin(), wanted.length, place.bytes.begin());
  }

  io::Source& old_;
  std::vector<CarriedRange> carried_;  // ascending by `to`
  std::uint64_t size_;
};

// The same with the patches over it.
class RelaidSource final : public io::Source {
 public:
  RelaidSource(io::Source& old_disk, Relayout relayout)
      : carried_(old_disk, std::move(relayout.carried), relayout.disk_size),
        patched_(carried_, std::move(relayout.patches), relayout.disk_size) {}

  [[nodiscard]] const std::string& name() const override { return patched_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return patched_.size(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return patched_.extent_at(offset);
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    return patched_.read(range, buffer);
  }

 private:
  CarriedSource carried_;
  io::OverlaySource patched_;
};

}  // namespace

std::unique_ptr<io::Source> relaid_source(io::Source& old_disk, Relayout relayout) {
  return std::make_unique<RelaidSource>(old_disk, std::move(relayout));
}

}  // namespace formats::partitions
