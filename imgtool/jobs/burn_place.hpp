// What a burn needs of a place that it writes to: a seam between the job and real disks.
//
// Two phases, two types. A BurnPlace was checked and opened, and nothing of it has changed yet.
// start() gives its BurnMedium, which can be written and read back; it is destroyed before the
// place. Both belong to the ring's thread. Errors are io::Error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/source.hpp"
#include "io/target.hpp"

namespace imgtool {

class BurnMedium {
 public:
  virtual ~BurnMedium() = default;

  [[nodiscard]] virtual io::Target& target() = 0;

  // The first `size` bytes as they are on the medium; forgets what the system had cached of them.
  [[nodiscard]] virtual std::unique_ptr<io::Source> read_back(std::uint64_t size) = 0;
  // False: read_back() may show a page cache where the medium holds something else.
  [[nodiscard]] virtual bool reads_past_cache() const = 0;

  // All `size` bytes are written: gives a file its exact length, which for one that was longer
  // before is the old one.
  virtual void settle(std::uint64_t size) = 0;
  // The content is complete: final name, partition table re-read. Gives a remark for the report,
  // or "". Nothing is written or read afterwards.
  virtual std::string finish(std::uint64_t size) = 0;
};

class BurnPlace {
 public:
  virtual ~BurnPlace() = default;

  [[nodiscard]] virtual const std::string& path() const = 0;
  // Bytes that fit; without limit for a file.
  [[nodiscard]] virtual std::uint64_t capacity() const = 0;
  // Size in bytes of the disk, once it holds `content_size` bytes: an existing file keeps its
  // length.
  [[nodiscard]] virtual std::uint64_t disk_size(std::uint64_t content_size) const = 0;
  // Logical, in bytes; nothing for a file, which has none.
  [[nodiscard]] virtual std::optional<std::uint64_t> sector_size() const = 0;

  [[nodiscard]] virtual bool is_partition() const = 0;

  // Makes it ready to be written through `ring`: gives a file its length, discards a disk when
  // the options ask for it. Called once.
  [[nodiscard]] virtual std::unique_ptr<BurnMedium> start(io::Ring& ring) = 0;
};

}  // namespace imgtool
