// A pipe, socket or terminal as a source: read once, front to back.
#pragma once

#include <span>
#include <vector>

#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/source.hpp"
#include "io/task_group.hpp"
#include "io/transfer.hpp"

namespace io {

class PipeSource final : public Source {
 public:
  // `file` outlives the source. A read that waits for the other side gives up when `stop` is
  // set, and looks like the end of the stream: the caller who set it knows better. `already_read`
  // are bytes that a prober took to see what they are; they come first.
  PipeSource(Ring& ring, File& file, const StopFlag& stop,
             std::vector<std::byte> already_read = {});

  [[nodiscard]] const std::string& name() const override { return file_.path; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] bool seekable() const override { return false; }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override;
  Task<std::size_t> read(ByteRange range, Buffer buffer) override;

  // The last bytes that were read, at most so many.
  static constexpr std::size_t most_last_bytes = 512;
  [[nodiscard]] std::span<const std::byte> last_bytes() const { return last_bytes_; }

 private:
  Task<std::size_t> fill(ByteRange range, Buffer buffer);
  void keep_last(std::span<const std::byte> bytes);

  Ring& ring_;
  NamedFile file_;
  const StopFlag& stop_;
  std::vector<std::byte> already_read_;
  std::vector<std::byte> last_bytes_;
  WaitList turns_;
  std::uint64_t position_ = 0;
  std::optional<std::uint64_t> size_;  // known at the end
};

}  // namespace io
