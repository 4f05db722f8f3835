// Disk images of any format, opened: sources of guest content that know how they are stored.
//
//   io::MadeRing made = io::make_ring({});
//   auto image = formats::open_image(*made.ring, "golden.qcow2", {});
//
// Opening reads and checks headers and top-level tables, so a broken or unsafe image is refused
// before anything is done with it. Images name other images (backing files, external data
// files); such a name is opened only if OpenOptions::follow_references says so.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/images/format.hpp"
#include "formats/images/spool.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace formats {

// How a range of the guest's disk is stored, in the words of `qemu-img map`.
struct Placement {
  io::ByteRange range;   // of the guest's disk
  unsigned depth = 0;    // 0: in the image itself, 1: in its backing file, and so on
  bool present = false;  // the image at `depth` says what is here; where no image does, it is zeros
  bool zero = false;     // reads as zeros
  bool data = false;     // stored as bytes
  bool compressed = false;              // ... which have to be decoded
  std::optional<std::uint64_t> offset;  // of the first byte in the image at `depth`
};

class Image : public io::Source {
 public:
  [[nodiscard]] virtual Format format() const = 0;

  // The unit in which the image stores content, in bytes: chunks that are multiples of it, at
  // multiples of it, are the cheapest to read. A power of two; 1 when there is none.
  [[nodiscard]] virtual std::uint64_t cluster_size() const = 0;

  // How the range at `offset` (below size()) is stored, from `offset` on. It may end before its
  // kind does; it is never empty.
  [[nodiscard]] virtual Placement placement_at(std::uint64_t offset) = 0;

  // Where the content comes from: the image's own file, then those it names that were opened.
  [[nodiscard]] virtual std::vector<const io::File*> files() const = 0;

  // Called when all was read that is wanted. Throws Error where a checksum over all of the image's
  // file, which reads at any place do not compute, turns out to be wrong; waits for that.
  virtual void confirm() {}
};

// How reads get at what is stored plainly: in a raw image, or as such in a qcow2 image.
enum class PageCache : std::uint8_t {
  used,
  used_if_warm,  // where most of the file is in it; else past it
  bypassed,      // the medium is read; of a qcow2 image as used_if_warm
};

struct OpenOptions {
  // Empty: the content decides.
  std::optional<Format> format;

  PageCache page_cache = PageCache::used;

  // Opens the backing files and data files that images name: files beside the image or at an
  // absolute path, never URLs or other special names.
  bool follow_references = false;

  // Takes no locks: reads also what another program, such as a virtual machine, writes meanwhile.
  // Else such an image is refused, and no QEMU can begin to write to it while it is open.
  bool force_share = false;
  // How the user asks for that, to be added to the refusal; "" where he cannot.
  const char* way_past_lock = "";

  // The content will not be read: what is encrypted may be opened, and references that are not
  // followed are left out instead of refused.
  bool layout_only = false;

  // The id or name of an internal snapshot to show instead of the disk as it is now.
  std::string snapshot;

  // The member of an archive that is the image; empty: the only one that may be.
  std::string member;

  // Where images are unpacked that have to be read at any place.
  SpoolOptions spool;
  // All have to be: also what could be read front to back is unpacked.
  bool any_place = false;

  // Decodes compressed content; has to outlive the image. Null: the ring's thread does it.
  io::WorkerPool* workers = nullptr;

  // Ends waits for the other side of a pipe; has to outlive the image. May be null.
  const io::StopFlag* stop = nullptr;
};

// Throws Error; ErrorKind::refused where an option is needed for something unsafe.
std::unique_ptr<Image> open_image(io::Ring& ring, const std::string& path,
                                  const OpenOptions& options);
// The same of a file that is open already.
std::unique_ptr<Image> open_image(io::Ring& ring, io::File file, const OpenOptions& options);

// The same of what comes through a pipe: a compressed stream, an archive, or an image that can be
// read front to back or is unpacked. `start` is what was read of it to see that; see
// formats/images/probe.hpp.
std::unique_ptr<Image> open_stream(io::Ring& ring, io::File pipe, Format format,
                                   std::vector<std::byte> start, const OpenOptions& options);

// Whether a pipe that begins with `start` and has this format, which is not raw, can be read
// without being asked to unpack it: as a stream, or since it would be unpacked from a file, too.
[[nodiscard]] bool can_come_through_pipe(Format format, std::span<const std::byte> start);

}  // namespace formats
