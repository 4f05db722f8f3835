#include "imgtool/jobs/job.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

constexpr std::uint64_t default_chunk = 1 * io::MiB;
// Half of them read or decode while the others keep the target's queue full.
constexpr unsigned default_lanes = 32;
// A queue this short (USB storage, card readers) only makes more requests wait in line.
constexpr unsigned short_queue = 16;
constexpr unsigned short_queue_lanes = 4;
constexpr std::uint64_t most_buffer_memory = 64 * io::MiB;
// A chunk's digest takes 8 bytes: 32 MiB of them at most, whatever the image's size.
constexpr std::uint64_t most_chunks = 4 * io::MiB;
constexpr std::uint64_t largest_chunk = 16 * io::MiB;

io::Engine engine_of(IoEngine engine) {
  switch (engine) {
    case IoEngine::uring:
      return io::Engine::uring;
    case IoEngine::threads:
      return io::Engine::threads;
    case IoEngine::automatic:
      break;
  }
  return io::Engine::automatic;
}

std::uint64_t power_of_two_at_least(std::uint64_t value) {
  std::uint64_t power = 1;
  while (power < value) power *= 2;
  return power;
}

}  // namespace

std::unique_ptr<io::Ring> make_ring(const JobOptions& job, unsigned requests) {
  io::RingOptions options;
  options.engine = engine_of(job.io_engine);
  options.entries = static_cast<unsigned>(power_of_two_at_least(std::clamp(requests, 16U, 256U)));
  options.threads = std::clamp(requests, 4U, 64U);
  io::MadeRing made = io::make_ring(options);
  if (!made.note.empty()) {
    complain(fmt::format("io_uring: {}; using threads, which takes more CPU", made.note));
  }
  return std::move(made.ring);
}

void add_tuning_options(CommandLine& line, TuningOptions& tuning) {
  line.option("depth", count_into(tuning.depth, 1, 256),
              "chunks under way at the same time (default: by the device)");
  line.option(
      "chunk", size_into(tuning.chunk_size),
      "bytes in one request, a power of two from 64K to 16M, at least a cluster of the image "
      "(default: by the device)");
  line.option("rate", size_into(tuning.rate), "at most so many bytes a second; 0 is no limit");
}

io::CopyOptions choose_copy_options(const TuningOptions& tuning,
                                    std::optional<std::uint64_t> image_size,
                                    const std::vector<io::QueueLimits>& queues,
                                    std::uint64_t cluster_size) {
  io::CopyOptions options;
  options.bytes_per_second = tuning.rate;
  options.chunk_size = default_chunk;
  options.lanes = default_lanes;
  for (const io::QueueLimits& queue : queues) {
    if (queue.request_count && *queue.request_count < short_queue) {
      options.lanes = short_queue_lanes;
    }
    if (queue.optimal_io_bytes && *queue.optimal_io_bytes > options.chunk_size) {
      options.chunk_size = std::min(power_of_two_at_least(*queue.optimal_io_bytes), largest_chunk);
    }
  }
  const std::uint64_t bytes = image_size.value_or(0);
  while (bytes / options.chunk_size > most_chunks && options.chunk_size < largest_chunk) {
    options.chunk_size *= 2;
  }
  if (tuning.chunk_size) {
    const std::uint64_t chunk = *tuning.chunk_size;
    if (chunk < 64 * io::KiB || chunk > largest_chunk || chunk != power_of_two_at_least(chunk)) {
      throw UsageError("--chunk: must be a power of two from 64K to 16M");
    }
    options.chunk_size = chunk;
  }
  // Else each piece of a compressed cluster would be decoded by itself.
  options.chunk_size = std::max(options.chunk_size, cluster_size);
  const auto fitting = static_cast<unsigned>(most_buffer_memory / options.chunk_size);
  options.lanes = std::min(tuning.depth.value_or(options.lanes), std::max(fitting, 1U));
  return options;
}

}  // namespace imgtool
