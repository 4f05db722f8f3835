// An image that is being written: a target of guest content that lays it down in some format.
//
// Chunks come from io::Copier in any order. An encoder (compressed qcow2, seekable zst) awaits the
// worker pool to encode its chunk, then its turn (io/sequencer.hpp), so that what it writes
// depends on the content alone: the same file with one thread or many, whatever the engine.
//
//   auto target = ...;                       // an ImageTarget over an io::OutputFile
//   copier.run({{0, size}});                 // all of [0, size): write() and zero() cover it
//   io::run_task(ring, target->finish());    // tables, index, length
//   output.publish();                        // flush and rename
//
// An error leaves the file useless, to be removed by the job that made it.
#pragma once

#include "io/target.hpp"

namespace formats {

class ImageTarget : public io::Target {
 public:
  // Where chunks have to begin, in bytes: at multiples of this. Only the last one may be shorter
  // than a multiple of it.
  [[nodiscard]] virtual std::uint64_t granularity() const = 0;

  // Writes what the format keeps beside the content, and gives the file its length. Call it once,
  // when all content was written and nothing is under way. Throws Error.
  virtual io::Task<> finish() = 0;

  // Bytes of the guest that are stored, encoded or not; the others are left out as zeros or as
  // equal to a backing file. For reports; final after finish().
  [[nodiscard]] virtual std::uint64_t content_bytes() const = 0;

  // The length of the image file after finish().
  [[nodiscard]] virtual std::uint64_t file_bytes() const = 0;
};

}  // namespace formats
