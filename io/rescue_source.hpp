// A source that goes on where a disk or an image cannot be read: smaller and smaller reads find out
// which sectors are lost, and those read as zeros, or as what else is known of them.
#pragma once

#include <functional>
#include <span>

#include "io/error.hpp"
#include "io/source.hpp"

namespace io {

// What is gone on past.
enum class Damage : std::uint8_t {
  medium,           // bad sectors
  medium_or_image,  // those, and what an image's format does not allow (ErrorKind::format)
};

class RescueSource final : public Source {
 public:
  // Hears of each range that cannot be read once, on the ring's thread, before the read that met
  // it ends. `content` is zeros, and may be filled with what is known of it otherwise.
  using OnBad = std::function<void(ByteRange range, std::span<std::byte> content)>;

  // `disk` outlives the source, and is seekable. `sector` is its logical sector in bytes.
  RescueSource(Source& disk, std::uint32_t sector, OnBad on_bad, Damage damage = Damage::medium);

  [[nodiscard]] const std::string& name() const override { return disk_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return disk_.size(); }
  // What cannot be told is data: reading it finds out.
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override;
  // Throws only what has nothing to do with damage, such as a disk that went away.
  Task<std::size_t> read(ByteRange range, Buffer buffer) override;

 private:
  [[nodiscard]] bool goes_on_past(const Error& error) const;
  Task<> read_in_pieces(ByteRange range, Buffer buffer);

  Source& disk_;
  std::uint32_t sector_;
  OnBad on_bad_;
  Damage damage_;
};

}  // namespace io
