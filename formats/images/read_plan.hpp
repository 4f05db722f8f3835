// What one read of an image asks of its files: places that are read straight into the caller's
// buffer, several at once, and packed blocks, which are read in the order in which they lie in the
// file, many with one request, and then decoded.
//
// Bounded: at most 4 requests are under way, of at most 1 MiB each where blocks are packed.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "io/byte_range.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace formats {

// A block of which a stream is stored.
struct PackedBlock {
  std::uint64_t guest = 0;  // of the first byte that is wanted; it may lie inside the block
  io::ByteRange place;  // of the stream, in the file; what lies behind the file's end is missing
  io::Buffer out;       // for what is wanted
};

class ReadPlan {
 public:
  // Decodes a block into its buffer; called on any thread. What it throws ends the read.
  using Decode = std::function<void(const PackedBlock&, std::span<const std::byte> stream)>;

  // Bytes of `source`, which outlives the plan; behind the source's end they are zeros.
  void add(io::Source& source, io::ByteRange range, io::Buffer buffer);
  // All packed blocks of a plan lie in one source.
  void add_packed(io::Source& source, PackedBlock block);

  // Reads and decodes all of it. `workers` may be null: then the ring's thread decodes. The plan
  // and `decode` outlive the task. Throws Error.
  io::Task<> carry_out(io::Ring& ring, io::WorkerPool* workers, const Decode& decode);

 private:
  // One request, and what comes after it.
  struct Part {
    io::Source* source = nullptr;
    io::ByteRange range;              // of `source`
    io::Buffer buffer;                // of that length, unless `blocks` is filled
    std::vector<PackedBlock> blocks;  // whose streams are in `range`
  };
  struct Way {
    io::Ring& ring;
    io::WorkerPool* workers;
    const Decode& decode;
  };

  void gather_packed();
  io::Task<> work(const Way& way);
  static io::Task<> read_part(const Way& way, const Part& part);
  static io::Task<> read_packed(const Way& way, const Part& part);
  static void decode_all(const Decode& decode, const Part& part,
                         std::span<const std::byte> streams);

  std::vector<Part> parts_;
  std::vector<PackedBlock> packed_;  // not yet in `parts_`
  io::Source* packed_source_ = nullptr;
  std::size_t next_ = 0;
};

}  // namespace formats
