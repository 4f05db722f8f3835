// A target that has an end: what would go past it is an error, as it is of a full file system.
#pragma once

#include <cerrno>

#include "io/error.hpp"
#include "io/target.hpp"

namespace io {

class BoundedTarget final : public Target {
 public:
  // `target` ends at its capacity, and outlives this.
  explicit BoundedTarget(Target& target) : target_(target) {}

  [[nodiscard]] const std::string& name() const override { return target_.name(); }
  [[nodiscard]] std::uint64_t capacity() const override { return target_.capacity(); }
  [[nodiscard]] std::uint64_t zero_grain() const override { return target_.zero_grain(); }
  Task<> write(std::uint64_t offset, Buffer buffer) override {
    check({offset, buffer.bytes.size()});
    return target_.write(offset, buffer);
  }
  Task<> zero(ByteRange range) override {
    check(range);
    return target_.zero(range);
  }
  Task<> flush() override { return target_.flush(); }
  void abandon() override { target_.abandon(); }

 private:
  void check(ByteRange range) const {
    if (range.end() > capacity()) throw Error::system("write", name(), ENOSPC, range);
  }

  Target& target_;
};

}  // namespace io
