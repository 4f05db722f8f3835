// What every job that moves data needs: a ring, progress, and sizes that suit the devices.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "imgtool/cli/options.hpp"
#include "imgtool/terminal/progress.hpp"
#include "io/copier.hpp"
#include "io/devices/device_inventory.hpp"
#include "io/ring.hpp"

namespace imgtool {

// A verification by samples reads one chunk in so many, and both ends.
inline constexpr unsigned sample_one_in = 16;

// Makes the ring that --io-engine asks for, for `requests` at the same time. Says on standard
// error, once, when it takes threads and was not asked to: io_uring would have been better.
std::unique_ptr<io::Ring> make_ring(const JobOptions& job, unsigned requests);

// --depth, --chunk, --rate; nothing: chosen from the devices.
struct TuningOptions {
  std::optional<unsigned> depth;
  std::optional<std::uint64_t> chunk_size;
  std::uint64_t rate = 0;
};
void add_tuning_options(CommandLine& line, TuningOptions& tuning);

// `image_size` bounds the memory that digests take; nothing: unknown. `queues` are those of the
// devices that take part. No chunk is smaller than `cluster_size`, a power of two.
io::CopyOptions choose_copy_options(const TuningOptions& tuning,
                                    std::optional<std::uint64_t> image_size,
                                    const std::vector<io::QueueLimits>& queues,
                                    std::uint64_t cluster_size = 1);

}  // namespace imgtool
