// How long an image file will be, before it is written.
//
// What is stored plainly is counted from the source's extents: an upper bound, since data may
// turn out to be zeros. What is compressed is sampled: clusters spread evenly over the data, at
// places that are always the same ones, are encoded, and the result is an interval.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "formats/images/block_layout.hpp"
#include "formats/images/format.hpp"
#include "formats/images/qcow2/compress.hpp"
#include "formats/images/qcow2/create_options.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace formats {

struct StoredForm {
  Format format = Format::raw;        // raw, qcow2, zst, vmdk, vpc, vhdx or vdi
  qcow2::CreateOptions create;        // of qcow2
  std::optional<qcow2::Codec> codec;  // of zst and vmdk, too
  bool preallocated = false;          // zeros take space too
  // Streams that store zeros, encoded: so many of them take a byte. 0: they are as good as free.
  std::uint64_t zeros_in_a_byte = 0;
  // Raw and fixed images: what is not stored is whole blocks of this.
  std::uint64_t hole_grain = 4 * io::KiB;
  // Of vpc, vhdx and vdi: that of a disk of so many bytes; none where the image is fixed.
  std::function<std::unique_ptr<BlockLayout>(std::uint64_t size)> block_layout;
};

struct Forecast {
  std::uint64_t least = 0;  // bytes; 99 of 100 images are between these two
  std::uint64_t likely = 0;
  std::uint64_t most = 0;             // nothing takes more; not only likely, unless `sampled`
  std::uint64_t fully_allocated = 0;  // if every byte of the disk were stored plainly
  bool sampled = false;
};

// The part of the source that is not known to be zeros, in whole clusters of the form; for raw
// images in blocks of the hole grain, for zst in bytes.
struct DataVolume {
  std::uint64_t bytes = 0;
  std::uint64_t tables = 0;  // L2 tables that are needed for it
};
DataVolume data_volume(io::Source& source, const StoredForm& form);

// `source` is seekable. Bounds from the extents alone: `least` is what an image of nothing but
// zeros would take.
Forecast forecast_by_extents(io::Source& source, const StoredForm& form);

// Reads and encodes `samples` clusters. Throws Error.
Forecast forecast_by_samples(io::Ring& ring, io::Source& source, const StoredForm& form,
                             io::WorkerPool& workers, unsigned samples);

// An image of an empty disk of `size` bytes.
Forecast forecast_for_size(std::uint64_t size, const StoredForm& form);

}  // namespace formats
