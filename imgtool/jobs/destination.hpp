// Where an image's bytes go: a new file, which has a partial name until it is complete; a disk or a
// file that is there, written in place; or standard output.
//
//   auto destination = open_destination(path, sources, options);  // checks; nothing changes yet
//   ... write into file(), or else to start(ring) ...
//   destination->publish(size);
//
// For the ring's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "io/devices/device_inventory.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/ring.hpp"
#include "io/target.hpp"

namespace imgtool {

struct DestinationOptions {
  std::optional<std::uint64_t> size;  // of the image's disk in bytes; nothing: a stream's
  bool in_place = false;              // a file that is there is written as a disk is
  bool qcow2 = false;                 // ... which is a qcow2 image, and its disk is meant
  bool follow_references = false;     // ... and files that it names may be opened
  bool replace = false;               // a new file may take the place of an old one
  bool resume = false;                // a new file goes on with what an earlier run left
  mode_t mode = 0666;                 // of a new file, less the umask
  bool starts_as_zeros = false;       // the caller says so of what is written in place
};

class Destination {
 public:
  virtual ~Destination() = default;

  // The new file, into which an image of any format can be written; null for the other places,
  // which take raw bytes through start().
  [[nodiscard]] virtual io::File* file() { return nullptr; }
  // Disks that will be overwritten, for confirm(), and their queues, for choose_copy_options().
  [[nodiscard]] virtual std::vector<std::string> disks() const { return {}; }
  [[nodiscard]] virtual std::vector<io::QueueLimits> queues() const { return {}; }

  // Where chunks have to begin, in bytes: at multiples of this. After start().
  [[nodiscard]] virtual std::uint64_t granularity() const { return 1; }

  // The target of raw bytes; once, and not where there is a file(). It lives as long as this, and
  // `ring` and `stop` longer. Throws io::Error.
  virtual io::Target& start(io::Ring& ring, const io::StopFlag& stop) = 0;

  // All `size` bytes are written and nothing is under way: flushes, gives it its name. Gives a
  // remark worth telling, or "". Throws io::Error.
  virtual std::string publish(std::uint64_t size) = 0;

  // Leaves a new file that is not complete for a later run with `resume`, or not.
  virtual void keep_partial(bool) {}
};

// `sources` are the paths of what is read meanwhile. Refuses (io::Error) what must not be written.
[[nodiscard]] std::unique_ptr<Destination> open_destination(const std::string& path,
                                                            const std::vector<std::string>& sources,
                                                            const DestinationOptions& options);

}  // namespace imgtool
