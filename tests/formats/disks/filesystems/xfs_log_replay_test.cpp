// Logs that claim much: what replaying one costs is bounded by the log, not by what it says.
#include "formats/disks/filesystems/xfs/log_replay.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "tests/formats/disks/filesystems/sparse_disk.hpp"

namespace {

using formats::DiskView;
using formats::store_big_endian;
using formats::store_little_endian;
using formats::filesystems::Doubt;
using formats::filesystems::shared_ring;
using formats::filesystems::SparseDisk;
using formats::filesystems::xfs::Geometry;
using formats::filesystems::xfs::log_block_size;
using formats::filesystems::xfs::LogEnd;
using formats::filesystems::xfs::LogRing;
using formats::filesystems::xfs::ReplayedVolume;
using testing::HasSubstr;

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t sector = 512;
constexpr std::uint64_t longest_buffer = 64 * io::KiB;
constexpr unsigned cancels = 2;

// A disk that counts what is read of it.
class CountingDisk final : public io::Source {
 public:
  explicit CountingDisk(SparseDisk& disk) : disk_(disk) {}
  [[nodiscard]] const std::string& name() const override { return disk_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return disk_.size(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return disk_.extent_at(offset);
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    read_ += range.length;
    return disk_.read(range, buffer);
  }
  [[nodiscard]] std::uint64_t bytes_read() const { return read_; }

 private:
  SparseDisk& disk_;
  std::uint64_t read_ = 0;
};

// One committed transaction, put together operation by operation.
class Log {
 public:
  Log() {
    operation(1, {});
    Bytes header(16);
    store_little_endian<std::uint32_t>(header, 0, 0x5452414e);
    operation(0, header);
  }

  // A buffer of `length` bytes; with content its first 128 bytes are 0x77.
  void buffer(std::uint64_t offset, std::uint64_t length, unsigned flags, bool has_content) {
    Bytes format(24);
    put16(format, 0, 0x123c);
    put16(format, 2, has_content ? 2 : 1);
    put16(format, 4, flags);
    put16(format, 6, length / sector);
    store_little_endian<std::uint64_t>(format, 8, offset / sector);
    store_little_endian<std::uint32_t>(format, 16, 1);
    store_little_endian<std::uint32_t>(format, 20, has_content ? 1 : 0);
    operation(0, format);
    if (has_content) operation(0, Bytes(128, std::byte{0x77}));
  }

  // A chunk of 64 inodes of 512 bytes at a block of 4096 bytes of the first group.
  void inodes(std::uint32_t block) {
    Bytes format(28);
    put16(format, 0, 0x123f);
    put16(format, 2, 1);
    store_big_endian<std::uint32_t>(format, 8, block);
    store_big_endian<std::uint32_t>(format, 12, 64);
    store_big_endian<std::uint32_t>(format, 16, 512);
    store_big_endian<std::uint32_t>(format, 20, 8);
    operation(0, format);
  }

  void commit() { operation(2, {}); }

  // Writes it as records of the first cycle from `begin` on; how many blocks they take.
  std::uint32_t write(SparseDisk& disk, std::uint64_t begin) {
    std::uint32_t block = 0;
    for (auto from = operations_.begin(); from != operations_.end();) {
      Bytes content;
      std::uint32_t count = 0;
      for (; from != operations_.end() && content.size() + from->size() <= 32 * io::KiB; ++from) {
        content.insert(content.end(), from->begin(), from->end());
        ++count;
      }
      block += write_record(disk, begin, block, count, std::move(content));
    }
    return block;
  }

 private:
  static void put16(Bytes& bytes, std::size_t at, std::uint64_t value) {
    store_little_endian<std::uint16_t>(bytes, at, static_cast<std::uint16_t>(value));
  }

  void operation(unsigned flags, const Bytes& region) {
    Bytes bytes(12);
    store_big_endian<std::uint32_t>(bytes, 0, 1);
    store_big_endian<std::uint32_t>(bytes, 4, static_cast<std::uint32_t>(region.size()));
    bytes[9] = static_cast<std::byte>(flags);
    bytes.insert(bytes.end(), region.begin(), region.end());
    operations_.push_back(std::move(bytes));
  }

  // Without a checksum, as mkfs.xfs writes them.
  static std::uint32_t write_record(SparseDisk& disk, std::uint64_t begin, std::uint32_t block,
                                    std::uint32_t operations, Bytes content) {
    Bytes header(log_block_size);
    const auto put = [&](std::size_t at, std::size_t value) {
      store_big_endian<std::uint32_t>(header, at, static_cast<std::uint32_t>(value));
    };
    put(0, formats::filesystems::xfs::log_record_magic);
    put(4, 1);
    put(8, 1);
    put(12, content.size());
    put(16, 1);
    put(20, block);
    put(40, operations);
    put(300, 1);
    content.resize(io::align_up(content.size(), sector));
    for (std::size_t i = 0; i * sector < content.size(); ++i) {
      std::copy_n(content.begin() + static_cast<std::ptrdiff_t>(i * sector), 4,
                  header.begin() + static_cast<std::ptrdiff_t>(44 + 4 * i));
      store_big_endian<std::uint32_t>(content, i * sector, 1);
    }
    disk.write(begin + block * sector, header);
    disk.write(begin + (block + 1) * sector, content);
    return 1 + static_cast<std::uint32_t>(content.size() / sector);
  }

  std::vector<Bytes> operations_;
};

class XfsLogReplay : public testing::Test {
 protected:
  XfsLogReplay() {
    geometry_.is_v5 = true;
    geometry_.block_size = 4096;
    geometry_.sector_size = 512;
    geometry_.blocks = 4 * io::GiB / 4096;
    geometry_.ag_blocks = static_cast<std::uint32_t>(geometry_.blocks);
    geometry_.ag_count = 1;
    geometry_.ag_block_bits = 20;
    geometry_.log_block = 3 * io::GiB / 4096;
    geometry_.log_blocks = 4096;
    geometry_.inode_size = 512;
  }

  void replay(Log& log) {
    log.commit();
    const std::uint32_t length = log.write(sparse_, 3 * io::GiB);
    LogRing ring(view_, geometry_);
    LogEnd end;
    end.block = length;
    end.cycle_before = 1;
    replay_log(ring, end, 0, geometry_, volume_);
  }

  // What it is refused with; "" when it is not.
  std::string refusal(Log& log) {
    try {
      replay(log);
      return "";
    } catch (const Doubt& doubt) {
      return doubt.because;
    }
  }

  Geometry geometry_;
  SparseDisk sparse_{4 * io::GiB};
  CountingDisk disk_{sparse_};
  DiskView view_{shared_ring(), disk_};
  ReplayedVolume volume_{view_};
};

TEST_F(XfsLogReplay, WritesBuffersUpToTheLongest) {
  Log log;
  log.buffer(io::MiB, longest_buffer, 0, true);
  replay(log);
  EXPECT_EQ(volume_.read_now(io::MiB, 128), Bytes(128, std::byte{0x77}));
}

// An AGFL of version 5 tells which change it had last; in version 4 these bytes are entries.
TEST_F(XfsLogReplay, LeavesNewerBlocksAloneWhereTheyTell) {
  for (const bool is_v5 : {true, false}) {
    geometry_.is_v5 = is_v5;
    sparse_.put_text(io::MiB, "XAFL");
    sparse_.put<std::uint64_t>(io::MiB + 24, ~std::uint64_t{0} >> 1);
    ReplayedVolume volume(view_);
    Log log;
    log.buffer(io::MiB, 512, 0, true);
    log.commit();
    LogEnd end;
    end.block = log.write(sparse_, 3 * io::GiB);
    end.cycle_before = 1;
    LogRing ring(view_, geometry_);
    replay_log(ring, end, 0, geometry_, volume);
    EXPECT_EQ(volume.read_now(io::MiB + 64, 1).front(), is_v5 ? std::byte{0} : std::byte{0x77});
  }
}

TEST_F(XfsLogReplay, RefusesABufferThatIsLonger) {
  Log log;
  log.buffer(io::MiB, longest_buffer + sector, 0, true);
  EXPECT_THAT(refusal(log), HasSubstr("log"));
}

TEST_F(XfsLogReplay, ReadsNoBufferThatItDoesNotChange) {
  Log log;
  constexpr std::uint64_t many = 8192;
  for (std::uint64_t i = 0; i < many; ++i) log.buffer(i * longest_buffer, longest_buffer, 0, false);
  replay(log);
  EXPECT_LT(disk_.bytes_read(), 16 * io::MiB);  // the log, twice
}

// Buffers that end in front of the inodes, as many as can be told apart.
void cancel_all_before(Log& log, std::uint64_t place) {
  for (std::uint64_t before = 1; before * sector <= longest_buffer; ++before) {
    for (std::uint64_t length = 1; length <= before; ++length) {
      log.buffer(place - before * sector, length * sector, cancels, false);
    }
  }
}

TEST_F(XfsLogReplay, ComparesNewInodesWithABoundedNumberOfCancelledBuffers) {
  constexpr std::uint32_t block = 256;
  constexpr std::uint64_t place = std::uint64_t{block} * 4096;
  Log few;
  cancel_all_before(few, place);
  few.inodes(block);
  EXPECT_EQ(refusal(few), "");
  EXPECT_EQ(volume_.read_now(place, 2), (Bytes{std::byte{'I'}, std::byte{'N'}}));

  Log many;
  cancel_all_before(many, place);
  for (unsigned i = 0; i < 2200; ++i) many.inodes(block);
  EXPECT_THAT(refusal(many), HasSubstr("cancels too much"));
}

TEST_F(XfsLogReplay, LeavesInodesAloneWhoseBufferWasCancelled) {
  constexpr std::uint32_t block = 256;
  constexpr std::uint64_t place = std::uint64_t{block} * 4096;
  for (const std::uint64_t offset : {place - longest_buffer + sector, place + 8 * 4096 - sector}) {
    Log log;
    log.buffer(offset, longest_buffer, cancels, false);
    log.inodes(block);
    replay(log);
    EXPECT_EQ(volume_.read_now(place, 2), Bytes(2)) << offset;
  }
  Log beside;
  beside.buffer(place - longest_buffer, longest_buffer, cancels, false);
  beside.buffer(place + 8 * 4096, longest_buffer, cancels, false);
  beside.inodes(block);
  replay(beside);
  EXPECT_EQ(volume_.read_now(place, 2), (Bytes{std::byte{'I'}, std::byte{'N'}}));
}

}  // namespace
