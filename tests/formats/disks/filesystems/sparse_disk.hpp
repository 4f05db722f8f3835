// A disk of zeros with a few sectors that hold something: what a parser of file systems is shown.
// It counts what is read of it.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"
#include "io/source.hpp"

namespace formats::filesystems {

class SparseDisk final : public io::Source {
 public:
  static constexpr std::uint64_t sector_bytes = 512;

  explicit SparseDisk(std::uint64_t size) : size_(size) {}

  void write(std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto here = std::min<std::size_t>(bytes.size(), sector_bytes - offset % sector_bytes);
      std::copy_n(bytes.begin(), here, &at(offset));
      offset += here;
      bytes = bytes.subspan(here);
    }
  }
  template <class Integer>
  void put(std::uint64_t offset, Integer value) {
    std::byte bytes[sizeof(Integer)];
    store_little_endian<Integer>(bytes, 0, value);
    write(offset, bytes);
  }
  void put_text(std::uint64_t offset, std::string_view text) {
    write(offset, std::as_bytes(std::span(text)));
  }
  std::byte& at(std::uint64_t offset) {
    auto& sector = sectors_[offset / sector_bytes];
    if (sector.empty()) sector.resize(sector_bytes);
    return sector[offset % sector_bytes];
  }
  void resize(std::uint64_t size) { size_ = size; }

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  // `unit`, whole sectors, again and again in all of `range`, but for what was and is written. So
  // the tables of a disk of terabytes take no room.
  void repeat(io::ByteRange range, std::vector<std::byte> unit) {
    repeated_.push_back({range, std::move(unit)});
  }

  // Whether sectors that hold nothing are told as holes, where nothing is repeated.
  bool tells_holes = false;
  std::uint64_t reads = 0;
  std::uint64_t bytes_read = 0;
  std::function<void()> on_read;

  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    const auto next = sectors_.lower_bound(offset / sector_bytes);
    const std::uint64_t data = next == sectors_.end() ? size_ : next->first * sector_bytes;
    if (tells_holes && repeated_.empty() && data > offset) {
      return {io::range_between(offset, std::min(data, size_)), io::ExtentKind::hole};
    }
    return {io::range_between(offset, size_), io::ExtentKind::data};
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    ++reads;
    bytes_read += range.length;
    if (on_read) on_read();
    const auto out = buffer.bytes.first(range.length);
    std::fill(out.begin(), out.end(), std::byte{0});
    for (const Repeated& one : repeated_) fill(one, range, out);
    auto next = sectors_.lower_bound(range.offset / sector_bytes);
    for (; next != sectors_.end() && next->first * sector_bytes < range.end(); ++next) {
      const io::ByteRange sector{next->first * sector_bytes, sector_bytes};
      const io::ByteRange part = io::intersection(sector, range);
      std::copy_n(next->second.begin() + static_cast<std::ptrdiff_t>(part.offset - sector.offset),
                  part.length,
                  out.begin() + static_cast<std::ptrdiff_t>(part.offset - range.offset));
    }
    co_return range.length;
  }

 private:
  struct Repeated {
    io::ByteRange range;
    std::vector<std::byte> unit;
  };
  static void fill(const Repeated& one, io::ByteRange range, std::span<std::byte> out) {
    const io::ByteRange part = io::intersection(one.range, range);
    for (std::uint64_t at = part.offset; at < part.end();) {
      const std::size_t in_unit = (at - one.range.offset) % one.unit.size();
      const auto length = std::min<std::uint64_t>(one.unit.size() - in_unit, part.end() - at);
      std::copy_n(one.unit.begin() + static_cast<std::ptrdiff_t>(in_unit), length,
                  out.begin() + static_cast<std::ptrdiff_t>(at - range.offset));
      at += length;
    }
  }

  std::string name_ = "disk";
  std::uint64_t size_;
  std::map<std::uint64_t, std::vector<std::byte>> sectors_;
  std::vector<Repeated> repeated_;
};

// One for all tests and fuzz inputs: the disks need none, but DiskView asks for it.
inline io::Ring& shared_ring() {
  static const std::unique_ptr<io::Ring> ring = [] {
    io::RingOptions options;
    options.engine = io::Engine::threads;
    return io::make_ring(options).ring;
  }();
  return *ring;
}

}  // namespace formats::filesystems
