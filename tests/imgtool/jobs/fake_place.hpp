// A disk in memory for the tests of burns: honest, counterfeit, or failing where it is told to.
#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "imgtool/jobs/burn_place.hpp"
#include "io/error.hpp"

namespace imgtool {

enum class Cheat : std::uint8_t {
  none,
  wraps,  // addresses are taken modulo the real size
  loses,  // what is written beyond the real size is lost, and reads as zeros
};

class FakePlace final : public BurnPlace {
 public:
  FakePlace(std::string name, std::uint64_t claimed, std::uint64_t real, Cheat cheat)
      : name_(std::move(name)), claimed_(claimed), cheat_(cheat), cells_(real, std::byte{0xee}) {}
  FakePlace(std::string name, std::uint64_t size)
      : FakePlace(std::move(name), size, size, Cheat::none) {}

  // --- what it is told to do ---
  // Called before each request with what it is: "write", "zero", "flush", "read".
  std::function<void(const std::string& what, io::ByteRange range)> before;
  bool ignore_zeroing = false;  // takes zeroing requests, and does nothing
  // Bytes that are stored as something else than was written, as long as their count lasts.
  std::map<std::uint64_t, int> bad_cells;
  bool past_cache = true;
  bool partition = false;

  // What is written at an offset as if it came late, after all requests so far.
  void put(std::uint64_t offset, std::span<const std::byte> bytes) { store(offset, bytes); }

  [[noreturn]] void vanish(const std::string& what, io::ByteRange range) const {
    throw io::Error::system(what, name_, ENODEV, range);
  }

  // --- what was done ---
  [[nodiscard]] const std::vector<std::byte>& cells() const { return cells_; }
  [[nodiscard]] bool holds_zeros(io::ByteRange range) const {
    const auto begin = cells_.begin() + static_cast<std::ptrdiff_t>(range.offset);
    return std::all_of(begin, begin + static_cast<std::ptrdiff_t>(range.length),
                       [](std::byte byte) { return byte == std::byte{0}; });
  }
  [[nodiscard]] const std::vector<std::pair<std::string, io::ByteRange>>& log() const {
    return log_;
  }
  [[nodiscard]] bool finished() const { return finished_; }

  // --- BurnPlace ---
  [[nodiscard]] const std::string& path() const override { return name_; }
  [[nodiscard]] std::uint64_t capacity() const override { return claimed_; }
  [[nodiscard]] std::uint64_t disk_size(std::uint64_t) const override { return claimed_; }
  [[nodiscard]] std::optional<std::uint64_t> sector_size() const override { return 512; }
  [[nodiscard]] bool is_partition() const override { return partition; }
  [[nodiscard]] std::unique_ptr<BurnMedium> start(io::Ring& ring) override {
    return std::make_unique<Medium>(ring, *this);
  }

 private:
  class Target final : public io::Target {
   public:
    Target(io::Ring& ring, FakePlace& place) : ring_(ring), place_(place) {}
    [[nodiscard]] const std::string& name() const override { return place_.name_; }
    [[nodiscard]] std::uint64_t capacity() const override { return place_.claimed_; }
    [[nodiscard]] std::uint64_t zero_grain() const override { return 4096; }
    io::Task<> write(std::uint64_t offset, io::Buffer buffer) override {
      co_await note("write", {offset, buffer.bytes.size()});
      place_.store(offset, buffer.bytes);
    }
    io::Task<> zero(io::ByteRange range) override {
      co_await note("zero", range);
      if (place_.ignore_zeroing) co_return;
      const std::vector<std::byte> zeros(range.length);
      place_.store(range.offset, zeros);
    }
    io::Task<> flush() override { co_await note("flush", {}); }

   private:
    io::Task<> note(const char* what, io::ByteRange range) {
      (void)co_await ring_.nop();
      if (place_.before) place_.before(what, range);
      place_.log_.emplace_back(what, range);
    }
    io::Ring& ring_;
    FakePlace& place_;
  };

  class Source final : public io::Source {
   public:
    Source(io::Ring& ring, FakePlace& place, std::uint64_t size)
        : ring_(ring), place_(place), size_(size) {}
    [[nodiscard]] const std::string& name() const override { return place_.name_; }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
    [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
      return {io::range_between(offset, size_), io::ExtentKind::data};
    }
    io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
      (void)co_await ring_.nop();
      if (place_.before) place_.before("read", range);
      place_.load(range, buffer.bytes);
      co_return range.length;
    }

   private:
    io::Ring& ring_;
    FakePlace& place_;
    std::uint64_t size_;
  };

  class Medium final : public BurnMedium {
   public:
    Medium(io::Ring& ring, FakePlace& place) : ring_(ring), place_(place), target_(ring, place) {}
    [[nodiscard]] io::Target& target() override { return target_; }
    [[nodiscard]] std::unique_ptr<io::Source> read_back(std::uint64_t size) override {
      return std::make_unique<Source>(ring_, place_, size);
    }
    [[nodiscard]] bool reads_past_cache() const override { return place_.past_cache; }
    void settle(std::uint64_t) override {}
    std::string finish(std::uint64_t) override {
      place_.finished_ = true;
      return "";
    }

   private:
    io::Ring& ring_;
    FakePlace& place_;
    Target target_;
  };

  // Calls `one` with each piece of a range that lies together: its place, and where in the range
  // it begins. What a medium does not have is left out.
  void for_each_piece(io::ByteRange range,
                      const std::function<void(io::ByteRange, std::size_t)>& one) const {
    for (std::uint64_t done = 0; done < range.length;) {
      const std::uint64_t at = range.offset + done;
      if (cheat_ == Cheat::loses && at >= cells_.size()) return;
      const std::uint64_t place = at % cells_.size();
      const std::uint64_t length = std::min(range.length - done, cells_.size() - place);
      one({place, length}, done);
      done += length;
    }
  }
  void store(std::uint64_t offset, std::span<const std::byte> bytes) {
    for_each_piece({offset, bytes.size()}, [&](io::ByteRange piece, std::size_t begin) {
      const auto some = bytes.subspan(begin, piece.length);
      std::copy(some.begin(), some.end(),
                cells_.begin() + static_cast<std::ptrdiff_t>(piece.offset));
      for (auto& [place, count] : bad_cells) {
        if (!piece.contains(place) || cells_[place] == std::byte{0} || count == 0) continue;
        --count;
        cells_[place] ^= std::byte{1};
      }
    });
  }
  void load(io::ByteRange range, std::span<std::byte> bytes) const {
    std::fill_n(bytes.begin(), range.length, std::byte{0});
    for_each_piece(range, [&](io::ByteRange piece, std::size_t begin) {
      std::copy_n(cells_.begin() + static_cast<std::ptrdiff_t>(piece.offset), piece.length,
                  bytes.begin() + static_cast<std::ptrdiff_t>(begin));
    });
  }

  std::string name_;
  std::uint64_t claimed_;
  Cheat cheat_;
  std::vector<std::byte> cells_;
  std::vector<std::pair<std::string, io::ByteRange>> log_;
  bool finished_ = false;
};

}  // namespace imgtool
