// A volume as it will be when its log has been replayed: what the replay writes is kept in memory.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <span>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "io/byte_range.hpp"
#include "io/source.hpp"

namespace formats::filesystems::xfs {

// Offsets of read_now(), write() and touch() are bytes of the volume; as a Source it shows all of
// the volume's source, so that a DiskView of the same part of it sees the volume. Memory: about
// 150 MiB at most, else Doubt.
class ReplayedVolume final : public io::Source {
 public:
  // `volume` outlives it.
  explicit ReplayedVolume(DiskView& volume) : volume_(volume) {}

  [[nodiscard]] std::vector<std::byte> read_now(std::uint64_t offset, std::size_t length);
  // Throws Doubt for what does not lie inside the volume.
  void write(std::uint64_t offset, std::span<const std::byte> bytes);

  // The replay reads or writes this: it has to stay as it is, free or not.
  void touch(io::ByteRange range);
  [[nodiscard]] std::vector<io::ByteRange> touched() const;  // in any order

  [[nodiscard]] const std::string& name() const override { return volume_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override {
    return volume_.source().size();
  }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return {io::range_between(offset, *size()), io::ExtentKind::data};
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

 private:
  static constexpr std::size_t sector_size = 512;
  using Sector = std::array<std::byte, sector_size>;

  void overlay(std::uint64_t offset, std::span<std::byte> bytes) const;

  DiskView& volume_;
  std::map<std::uint64_t, Sector> sectors_;         // by number
  std::map<std::uint64_t, std::uint64_t> touched_;  // length by offset
};

}  // namespace formats::filesystems::xfs
