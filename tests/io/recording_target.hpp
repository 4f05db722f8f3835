// A target in memory that logs every request, and can be slow or fail where it is told to.
#pragma once

#include <algorithm>
#include <cerrno>
#include <ostream>
#include <vector>

#include "io/error.hpp"
#include "io/target.hpp"

namespace io {

// One request that a target carried out.
struct Done {
  enum class What : std::uint8_t { write, zero, flush };
  What what = What::flush;
  ByteRange range{};

  friend bool operator==(const Done&, const Done&) = default;
};

inline void PrintTo(const Done& done, std::ostream* out) {
  constexpr const char* names[] = {"write", "zero", "flush"};
  *out << names[static_cast<int>(done.what)] << ' ' << done.range.offset << '+'
       << done.range.length;
}

class RecordingTarget final : public Target {
 public:
  // Starts full of 0xee, which is in no way zero.
  RecordingTarget(Ring& ring, std::uint64_t capacity, std::string name = "target")
      : ring_(ring), name_(std::move(name)), content_(capacity, std::byte{0xee}) {}

  // --- what it is told to do ---
  // Requests that touch `offset` fail.
  void fail_at(std::uint64_t offset, int error_number = EIO) {
    fail_at_ = {offset, 1};
    error_number_ = error_number;
  }
  void fail_flush(bool fails = true) { flush_fails_ = fails; }
  // Each write and zero takes so long; at most one at a time, as a slow device would.
  void take(std::chrono::milliseconds delay) { delay_ = delay; }
  void set_zero_grain(std::uint64_t grain) { grain_ = grain; }

  // --- what was done ---
  [[nodiscard]] const std::vector<Done>& log() const { return log_; }
  // Writes and zeros by offset: lanes finish in any order.
  [[nodiscard]] std::vector<Done> sorted_log() const {
    auto sorted = log_;
    std::erase_if(sorted, [](const Done& done) { return done.what == Done::What::flush; });
    std::sort(sorted.begin(), sorted.end(),
              [](const Done& a, const Done& b) { return a.range.offset < b.range.offset; });
    return sorted;
  }
  [[nodiscard]] const std::vector<std::byte>& content() const { return content_; }
  [[nodiscard]] bool was_abandoned() const { return abandoned_; }

  // --- Target ---
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::uint64_t capacity() const override { return content_.size(); }
  [[nodiscard]] std::uint64_t zero_grain() const override { return grain_; }
  Task<> write(std::uint64_t offset, Buffer buffer) override {
    const ByteRange range{offset, buffer.bytes.size()};
    co_await be_the_device("write", range);
    std::copy(buffer.bytes.begin(), buffer.bytes.end(), at(offset));
    log_.push_back({Done::What::write, range});
  }
  Task<> zero(ByteRange range) override {
    co_await be_the_device("zeroing", range);
    std::fill_n(at(range.offset), range.length, std::byte{0});
    log_.push_back({Done::What::zero, range});
  }
  Task<> flush() override {
    (void)co_await ring_.nop();
    if (flush_fails_) throw Error::system("flush", name_, EIO);
    log_.push_back({});
  }
  void abandon() override { abandoned_ = true; }

 private:
  std::vector<std::byte>::iterator at(std::uint64_t offset) {
    return content_.begin() + static_cast<std::ptrdiff_t>(offset);
  }
  Task<> be_the_device(const char* operation, ByteRange range) {
    (void)co_await ring_.nop();
    if (delay_.count() > 0) {
      free_again_ = std::max(free_again_, Ring::Clock::now()) + delay_;
      co_await ring_.sleep_until(free_again_);
    }
    if (!intersection(range, fail_at_).empty()) {
      throw Error::system(operation, name_, error_number_, range);
    }
  }

  Ring& ring_;
  std::string name_;
  std::vector<std::byte> content_;
  std::uint64_t grain_ = 4096;
  ByteRange fail_at_{};
  int error_number_ = EIO;
  bool flush_fails_ = false;
  std::chrono::milliseconds delay_{0};
  Ring::Clock::time_point free_again_{};
  std::vector<Done> log_;
  bool abandoned_ = false;
};

}  // namespace io
