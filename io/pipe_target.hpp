// A pipe, socket or terminal as a target: every byte in order, zeros too.
#pragma once

#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/sequencer.hpp"
#include "io/target.hpp"
#include "io/transfer.hpp"

namespace io {

// Chunks may be handed in side by side; each is written when its turn has come.
class PipeTarget final : public Target {
 public:
  // `file` outlives the target; where it is non-blocking, a write that waits for the other side
  // gives up (ErrorKind::cancelled) soon after `stop` is set.
  PipeTarget(Ring& ring, File& file, const StopFlag& stop);

  [[nodiscard]] const std::string& name() const override { return file_.path; }
  [[nodiscard]] std::uint64_t capacity() const override { return ~std::uint64_t{0}; }
  [[nodiscard]] std::uint64_t zero_grain() const override { return std::uint64_t{1} << 30; }
  Task<> write(std::uint64_t offset, Buffer buffer) override;
  Task<> zero(ByteRange range) override;
  Task<> flush() override;
  void abandon() override { sequencer_.abandon(); }

 private:
  Task<> take_turn(std::uint64_t offset);
  Task<> send(std::uint64_t offset, Buffer buffer);

  Ring& ring_;
  NamedFile file_;
  const StopFlag& stop_;
  Sequencer sequencer_;
};

}  // namespace io
