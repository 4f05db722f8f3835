// A disk that may be written to over a source that stays as it is: what was written lies in a
// sparse file, which is thrown away. For tools that change file systems in place.
//
// For each granule two bits say where it is: in the base, in the file, or nowhere (zeros). A
// granule is 4 KiB, doubled until the bits take 16 MiB at most, so 256 GiB have the small ones.
// A write of a part of a granule brings the rest of it from the base first.
#pragma once

#include <array>
#include <vector>

#include "io/file.hpp"
#include "io/source.hpp"
#include "io/target.hpp"
#include "io/transfer.hpp"

namespace io {

// Belongs to the ring's thread. Of requests that share a granule, and of which one is a write or
// zero(), the second begins when the first has ended. Nothing in it is durable: flush() is none.
class ScratchOverlay final : public Source, public Target {
 public:
  // Shows `size` bytes: those of `base`, a seekable source of known size, as far as it goes, then
  // zeros. `file` is empty, open for reading and writing, and gets the length of the disk. All
  // outlive the overlay. Throws Error.
  ScratchOverlay(Ring& ring, Source& base, File& file, std::uint64_t size);

  [[nodiscard]] const std::string& name() const override { return base_.name(); }

  // --- Source ---
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] Extent extent_at(std::uint64_t offset) override;
  Task<std::size_t> read(ByteRange range, Buffer buffer) override;

  // --- Target. Throws Error, ENOSPC, for what lies behind the end. ---
  [[nodiscard]] std::uint64_t capacity() const override { return size_; }
  [[nodiscard]] std::uint64_t zero_grain() const override { return granule_; }
  Task<> write(std::uint64_t offset, Buffer buffer) override;
  Task<> zero(ByteRange range) override;
  Task<> flush() override;

  // Bytes. A power of two, at least 4096.
  [[nodiscard]] std::uint64_t granule() const noexcept { return granule_; }
  // What the file holds, in bytes.
  [[nodiscard]] std::uint64_t written() const noexcept { return written_; }

 private:
  enum class Place : std::uint8_t { base, file, nowhere };

  [[nodiscard]] Place place_of(std::uint64_t granule) const;
  void set_place(std::uint64_t granule, Place place);
  // From `offset` on as far as all is in the same place, at most up to `end`.
  [[nodiscard]] ByteRange run_at(std::uint64_t offset, std::uint64_t end) const;
  [[nodiscard]] std::uint64_t base_end() const;
  Task<> read_run(ByteRange run, Buffer buffer);
  Task<> read_base(ByteRange run, Buffer buffer);
  // The granule that `offset` lies in is in the file afterwards, as it was.
  Task<> bring(std::uint64_t offset);
  Task<> bring_edges(ByteRange range);
  void refuse_behind_end(ByteRange range) const;

  Ring& ring_;
  Source& base_;
  NamedFile file_;
  const std::uint64_t size_;
  std::uint64_t granule_;
  std::vector<std::uint8_t> places_;  // four granules a byte
  std::uint64_t written_ = 0;
};

}  // namespace io
