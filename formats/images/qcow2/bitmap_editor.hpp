// Changes the persistent bitmaps of a qcow2 image in place: which parts of the disk were written
// since some moment, for incremental backups.
//
// Killed at any moment, the image has all of the old bitmaps or all of the new ones (see
// refcount_editor.hpp). Bitmaps that another program left out of date (autoclear bit 0 is clear)
// are as good as gone, and are dropped. Source of the layout: docs/interop/qcow2.txt of QEMU,
// "Bitmaps"; of the limits: its block/qcow2-bitmap.c. Blocking; memory: 16 MiB beside that of the
// RefcountEditor and the list of bitmaps.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/qcow2/bitmaps.hpp"
#include "formats/images/qcow2/refcount_editor.hpp"
#include "io/byte_range.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

// qemu's limit: what a bitmap takes in memory.
inline constexpr std::uint64_t largest_bitmap_bytes = 512 * io::MiB;

// What a new one counts by where nothing else is said, as qemu chooses it.
[[nodiscard]] std::uint32_t default_granularity_bits(const Geometry& geometry);

class BitmapEditor {
 public:
  // `file` is open for reading and writing, and no other program uses it. Throws Error: refused for
  // an image that is damaged, unsupported for one of version 2. Both outlive it.
  BitmapEditor(const io::File& file, const io::StopFlag& stop);

  [[nodiscard]] const std::vector<Bitmap>& bitmaps() const { return bitmaps_; }
  [[nodiscard]] const Bitmap* find(const std::string& name) const;

  // These throw Error, and nothing has changed in the image then: refused where the name is taken,
  // where there is none of that name, and where the bitmap was not closed and cannot be trusted;
  // only remove() takes such a one.
  void add(const std::string& name, std::uint32_t granularity_bits);
  void remove(const std::string& name);
  void enable(const std::string& name, bool enabled);
  void clear(const std::string& name);
  // Adds what `source` of the image in `from`, which may be this one, has; both disks are of one
  // size.
  void merge(const std::string& name, const io::File& from, const std::string& source);
  // Ranges of the guest's disk that will be written to, as a running program would have recorded
  // them: next() gives them in ascending order, then an empty one.
  void record(const std::string& name, const std::function<io::ByteRange()>& next);

  // Takes all of it into use. The editor is of no use then.
  void finish();

 private:
  class Bits;

  [[nodiscard]] Bitmap& usable(const std::string& name);
  [[nodiscard]] std::vector<std::uint64_t> read_table(const Bitmap& bitmap) const;
  void release_content(const Bitmap& bitmap);
  void place_table(Bitmap& bitmap, const std::vector<std::uint64_t>& words);

  const io::File& file_;
  const io::StopFlag& stop_;
  Header header_;
  std::vector<Bitmap> bitmaps_;
  RefcountEditor refcounts_;
  std::uint64_t old_directory_bytes_ = 0;
  HostOffset old_directory_;
};

// record() in each bitmap of `file` that records, with what `ranges` gives for it, and takes that
// into use. To be done before anything is written: at worst they have more than was written then.
void record_in_all(const io::File& file, const io::StopFlag& stop,
                   const std::function<std::function<io::ByteRange()>()>& ranges);

}  // namespace formats::qcow2
